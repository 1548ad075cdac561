"""What the broker keeps: through a real broker, its file, and a crash (a copy of the open file)."""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from broker.access import NoUsers
from broker.errors import EngineError
from broker.link import QoS
from broker.native import engine
from broker.native.core import Core
from broker.native.data_folder import FILE, opened
from broker.native.encode import encode
from broker.native.packet import Connect, Publish, Subscribe, SubscribeRequest, Version
from broker.native.properties import Properties
from broker.native.routed import Routed
from broker.native.store import DurableStore
from broker.native.unclean_stop import offline_now
from tests.mqtt_packets import (
    DISCONNECT,
    PUBACK,
    PUBLISH,
    SUBACK,
    Client,
    Packet,
    connect,
    connected,
    packet,
    publish,
)
from tests.mqtt_packets import (
    opened as connection,
)
from tests.real_ends import until

CONNACK, PUBREC, PUBREL, PUBCOMP = 2, 5, 6, 7


class Broker:
    def __init__(self, core: Core, port: int) -> None:
        self.core = core
        self.port = port

    @property
    def store(self) -> DurableStore:
        assert isinstance(self.core.store, DurableStore)
        return self.core.store


@asynccontextmanager
async def running(data: Path | None, base_topic: str = "fieldgate") -> AsyncIterator[Broker]:
    async with engine.running(
        ["mqtt://127.0.0.1:0"], NoUsers(), anonymous=True, data=data, base_topic=base_topic
    ) as (broker, urls):
        yield Broker(broker.core, int(urls[0].rpartition(":")[2]))


_copies = itertools.count()


def crashed(data: Path) -> Path:
    """What a killed process leaves: the files as they are at this moment."""
    copy = data.with_name(f"{data.name}-crashed-{next(_copies)}")
    shutil.copytree(data, copy)
    return copy


@contextmanager
def database(data: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(data / FILE, isolation_level=None)) as file:
        yield file


def put_aside(data: Path) -> list[Path]:
    return list(data.glob(f"{FILE}.corrupt-*"))


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """A disk that takes nothing."""
    with database(data) as file:
        file.execute("BEGIN IMMEDIATE")
        yield
        file.execute("ROLLBACK")


async def subscribed(port: int, client_id: str, topic_filter: str, qos: int = 1) -> None:
    """A persistent session that subscribes and goes away."""
    async with connected(port, client_id, clean=False) as client:
        await client.subscribe(topic_filter, qos)
        await client.send(DISCONNECT)
        await client.read_until_closed()


async def publish_acknowledged(
    port: int, *messages: tuple[str, bytes], retain: bool = False
) -> None:
    async with connected(port, "publisher") as client:
        for packet_id, (topic, payload) in enumerate(messages, 1):
            await client.send(publish(topic, payload, packet_id=packet_id, retain=retain))
        for _ in messages:
            await client.read_until(PUBACK)


async def come_back(client: Client) -> bool:
    """Read CONNACK; whether the session was there."""
    (connack,) = await client.read_until(CONNACK)
    return connack.body[0] == 1


def packet_id(found: Packet) -> int:
    return int.from_bytes(found.body[: 2 + 2 + len(found.topic)][-2:], "big")


def ack(kind: int, number: int) -> bytes:
    return packet(kind << 4 | (2 if kind == PUBREL else 0), number.to_bytes(2, "big"))


def publish_2(topic: str, payload: bytes, number: int, *, dup: bool = False) -> bytes:
    message = Publish(topic, payload, QoS.EXACTLY_ONCE, dup=dup, packet_id=number)
    return encode(message, Version.V311)


async def test_an_acknowledged_message_reaches_its_absent_receiver_after_a_crash(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with running(data) as broker:
        await subscribed(broker.port, "absent", "plant/#")
        await publish_acknowledged(broker.port, ("plant/level", b"7"))
        copy = crashed(data)
    async with (
        running(copy) as broker,
        connection(broker.port, connect("absent", clean=False)) as client,
    ):
        assert await come_back(client)
        found = await client.read()
        assert (found.topic, found.payload, found.qos) == ("plant/level", b"7", 1)


async def test_what_is_owed_comes_in_its_order_after_a_stop(tmp_path: Path) -> None:
    sent = [f"{n}".encode() for n in range(300)]
    async with running(tmp_path) as broker:
        await subscribed(broker.port, "absent", "plant/#")
        await publish_acknowledged(broker.port, *(("plant/level", each) for each in sent))
    async with (
        running(tmp_path) as broker,
        connection(broker.port, connect("absent", clean=False)) as client,
    ):
        assert await come_back(client)
        found = []
        for _ in sent:
            message = await client.read()
            await client.send(ack(PUBACK, packet_id(message)))
            found.append(message.payload)
        assert found == sent


async def test_what_was_acknowledged_by_its_receiver_does_not_come_again(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as broker,
        connected(broker.port, "present", clean=False) as client,
    ):
        await client.subscribe("plant/#", 1)
        await publish_acknowledged(broker.port, ("plant/level", b"7"))
        await client.send(ack(PUBACK, packet_id(await client.read())))
        await client.ping()
    with database(tmp_path) as file:
        assert file.execute("SELECT count(*) FROM message").fetchone() == (0,)
        assert file.execute("SELECT count(*) FROM delivery").fetchone() == (0,)
        assert file.execute("SELECT count(*) FROM subscription").fetchone() == (1,)


async def test_an_unacknowledged_message_is_sent_again_with_its_packet_id(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running(data) as broker, connected(broker.port, "frozen", clean=False) as client:
        await client.subscribe("plant/#", 1)
        await publish_acknowledged(broker.port, *(("plant/level", b"x") for _ in range(3)))
        first = [await client.read() for _ in range(3)]
        copy = crashed(data)
    async with (
        running(copy) as broker,
        connection(broker.port, connect("frozen", clean=False)) as client,
    ):
        assert await come_back(client)
        again = [await client.read() for _ in range(3)]
        assert all(each.flags & 8 for each in again)  # DUP [MQTT-3.3.1-1]
        assert list(map(packet_id, again)) == list(map(packet_id, first))  # [MQTT-4.4.0-1]


async def test_a_qos_2_message_sent_again_after_a_crash_is_routed_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running(data) as broker:
        await subscribed(broker.port, "absent", "plant/#", 2)
        async with connected(broker.port, "device", clean=False) as client:
            await client.send(publish_2("plant/level", b"7", 9))
            assert (await client.read()).type == PUBREC
            copy = crashed(data)
    async with (
        running(copy) as broker,
        connection(broker.port, connect("device", clean=False)) as device,
        connection(broker.port, connect("absent", clean=False)) as client,
    ):
        assert await come_back(device)
        await device.send(publish_2("plant/level", b"7", 9, dup=True))
        assert (await device.read()).type == PUBREC
        await device.send(ack(PUBREL, 9))
        assert (await device.read()).type == PUBCOMP
        await come_back(client)
        found = await client.read()
        assert found.payload == b"7"
        await client.send(ack(PUBREC, packet_id(found)))
        assert (await client.read()).type == PUBREL
        assert await client.ping() == []


async def test_a_released_qos_2_number_may_be_used_again_after_a_crash(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running(data) as broker:
        await subscribed(broker.port, "absent", "plant/#", 2)
        async with connected(broker.port, "device", clean=False) as client:
            await client.send(publish_2("plant/level", b"1", 9), ack(PUBREL, 9))
            await client.read_until(PUBCOMP)
            copy = crashed(data)
    async with running(copy) as broker:
        async with connection(broker.port, connect("device", clean=False)) as device:
            assert await come_back(device)
            await device.send(publish_2("plant/level", b"2", 9))
            await device.read_until(PUBREC)
        async with connection(broker.port, connect("absent", clean=False)) as client:
            await come_back(client)
            assert [(await client.read()).payload for _ in range(2)] == [b"1", b"2"]


async def test_a_qos_2_message_that_its_receiver_has_is_only_released_after_a_crash(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with (
        running(data) as broker,
        connected(broker.port, "receiver", clean=False) as client,
        connected(broker.port, "device") as device,
    ):
        await client.subscribe("plant/#", 2)
        await device.send(publish_2("plant/level", b"1", 9))
        number = packet_id(await client.read())
        await client.send(ack(PUBREC, number))
        assert (await client.read()).type == PUBREL
        copy = crashed(data)
    async with (
        running(copy) as broker,
        connection(broker.port, connect("receiver", clean=False)) as client,
    ):
        assert await come_back(client)
        found = await client.read()
        assert (found.type, int.from_bytes(found.body, "big")) == (PUBREL, number)


async def test_a_subscription_that_was_acknowledged_is_in_force_after_a_crash(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with running(data) as broker, connected(broker.port, "device", clean=False) as client:
        await client.subscribe("plant/#", 1)
        copy = crashed(data)
    async with (
        running(copy) as broker,
        connection(broker.port, connect("device", clean=False)) as client,
    ):
        assert await come_back(client)
        await publish_acknowledged(broker.port, ("plant/level", b"7"))
        assert (await client.read()).payload == b"7"


async def test_subscription_options_and_message_properties_are_back_after_a_crash(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    held = Properties(
        content_type="text/plain",
        correlation_data=b"\x00\x01",
        user_properties=(("a", "1"), ("a", "2")),
    )
    opening = Connect(
        Version.V5, "five", clean_start=False, properties=Properties(session_expiry_interval_s=1000)
    )
    wish = Subscribe(
        1,
        (
            SubscribeRequest("plant/#", QoS.AT_LEAST_ONCE, retain_as_published=True),
            SubscribeRequest("$share/group/$share/x/+", QoS.AT_LEAST_ONCE),
        ),
        Properties(subscription_identifiers=(300,)),
    )
    message = Publish("plant/level", b"7", QoS.AT_LEAST_ONCE, True, packet_id=5, properties=held)
    async with running(data) as broker:
        async with connection(broker.port, encode(opening, Version.V5)) as client:
            await client.read_until(CONNACK)
            await client.send(encode(wish, Version.V5))
            await client.read_until(SUBACK)
        async with connection(
            broker.port, encode(Connect(Version.V5, "device"), Version.V5)
        ) as device:
            await device.read_until(CONNACK)
            await device.send(encode(message, Version.V5))
            await device.read_until(PUBACK)
        copy = crashed(data)
    expected = encode(
        Publish(
            "plant/level",
            b"7",
            QoS.AT_LEAST_ONCE,
            True,
            packet_id=1,
            properties=Properties(
                content_type="text/plain",
                correlation_data=b"\x00\x01",
                user_properties=held.user_properties,
                subscription_identifiers=(300,),
            ),
        ),
        Version.V5,
    )
    async with (
        running(copy) as broker,
        connection(broker.port, encode(opening, Version.V5)) as client,
    ):
        assert await come_back(client)
        found = await client.read()
        assert (found.type, found.flags & 7, len(found.body)) == (PUBLISH, 3, len(expected) - 2)
        for part in (
            b"text/plain",
            b"\x00\x02\x00\x01",
            b"\x0b\xac\x02",
            b"\x26\x00\x01a\x00\x012",
        ):
            assert part in found.body


async def shared_session(port: int, client_id: str, expiry_s: int) -> None:
    """A member of a shared subscription who is away."""
    held = Properties(session_expiry_interval_s=expiry_s)
    opening = Connect(Version.V5, client_id, clean_start=False, properties=held)
    wish = Subscribe(1, (SubscribeRequest("$share/group/plant/#", QoS.EXACTLY_ONCE),))
    async with connection(port, encode(opening, Version.V5)) as client:
        await client.read_until(CONNACK)
        await client.send(encode(wish, Version.V5))
        await client.read_until(SUBACK)


async def test_4_8_2_what_a_member_is_owed_goes_to_another_when_it_ends_after_a_restart(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as broker:
        await shared_session(broker.port, "ends", 1000)
        await publish_acknowledged(broker.port, ("plant/level", b"1"), ("plant/level", b"2"))
        await shared_session(broker.port, "stays", 10_000)
    with database(tmp_path) as file:
        file.execute("UPDATE session SET absent_since = absent_since - 2000")
    async with running(tmp_path) as broker:
        await until(lambda: broker.core.census().sessions == 1, "one has ended")
        opening = Connect(
            Version.V5,
            "stays",
            clean_start=False,
            properties=Properties(session_expiry_interval_s=1000),
        )
        async with connection(broker.port, encode(opening, Version.V5)) as client:
            assert await come_back(client)
            assert [(await client.read()).payload[-1:] for _ in range(2)] == [b"1", b"2"]


async def test_a_session_whose_time_is_over_at_the_restart_is_gone(tmp_path: Path) -> None:
    opening = Connect(
        Version.V5, "five", clean_start=False, properties=Properties(session_expiry_interval_s=1000)
    )
    async with (
        running(tmp_path) as broker,
        connection(broker.port, encode(opening, Version.V5)) as client,
    ):
        await client.read_until(CONNACK)
    with database(tmp_path) as file:
        file.execute("UPDATE session SET absent_since = absent_since - 900")
    async with running(tmp_path):
        pass
    with database(tmp_path) as file:
        assert file.execute("SELECT client_id FROM session").fetchall() == [("five",)]
        file.execute("UPDATE session SET absent_since = absent_since - 101")
    async with (
        running(tmp_path) as broker,
        connection(broker.port, encode(opening, Version.V5)) as client,
    ):
        assert not await come_back(client)


async def test_a_message_whose_time_is_over_at_the_restart_is_not_delivered(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as broker:
        await subscribed(broker.port, "absent", "plant/#")
        async with connection(
            broker.port, encode(Connect(Version.V5, "device"), Version.V5)
        ) as device:
            await device.read_until(CONNACK)
            for number, topic in enumerate(("plant/old", "plant/new"), 1):
                held = Properties(message_expiry_interval_s=1000)
                message = Publish(
                    topic, b"1", QoS.AT_LEAST_ONCE, True, packet_id=number, properties=held
                )
                await device.send(encode(message, Version.V5))
                await device.read_until(PUBACK)
    with database(tmp_path) as file:
        for table in ("message", "retained"):
            file.execute(f"UPDATE {table} SET expires = expires - 2000 WHERE topic = 'plant/old'")
    async with running(tmp_path) as broker:
        async with connection(broker.port, connect("absent", clean=False)) as client:
            await come_back(client)
            assert (await client.read()).topic == "plant/new"
        async with connected(broker.port, "newcomer") as client:
            packets = await client.subscribe("plant/#") + await client.ping()
            assert [each.topic for each in packets if each.type == PUBLISH] == ["plant/new"]
    with database(tmp_path) as file:
        assert file.execute("SELECT topic FROM retained").fetchall() == [("plant/new",)]


async def test_a_retained_message_is_back_after_a_crash_and_a_cleared_one_is_not(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with running(data) as broker:
        await publish_acknowledged(
            broker.port, ("a", b"1"), ("b", b"2"), ("b", b"3"), ("a", b""), retain=True
        )
        copy = crashed(data)
    async with running(copy) as broker, connected(broker.port, "newcomer") as client:
        packets = await client.subscribe("#") + await client.ping()
        assert [(each.topic, each.payload) for each in packets if each.type == PUBLISH] == [
            ("b", b"3")
        ]


async def test_retained_qos_0_values_are_written_together_and_the_newest_at_the_stop(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as broker, connected(broker.port, "device") as client:
        before = broker.store.commits
        for n in range(1000):
            await client.send(publish(f"plant/{n % 4}", f"{n}".encode(), retain=True))
        await client.ping()
        assert broker.store.commits - before < 10
    with database(tmp_path) as file:
        rows = file.execute("SELECT topic, payload FROM retained ORDER BY topic").fetchall()
    assert rows == [(f"plant/{n}", f"{996 + n}".encode()) for n in range(4)]


async def test_what_needs_no_keeping_never_touches_the_disk(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as broker,
        connected(broker.port, "subscriber") as client,
        connected(broker.port, "device") as device,
    ):
        await client.subscribe("plant/#", 1)
        with locked(tmp_path):
            for number in range(1, 101):
                await device.send(publish("plant/level", b"7", packet_id=number))
                assert (await device.read()).type == PUBACK
        assert (broker.store.noted, broker.store.commits) == (0, 0)


async def test_answers_wait_for_the_disk_and_keep_their_order(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await subscribed(broker.port, "absent", "plant/#")
        async with connected(broker.port, "device") as device:
            with locked(tmp_path):
                await device.send(
                    publish("plant/level", b"7", packet_id=1),
                    publish("elsewhere", b"7", packet_id=2),
                )
                assert await device.ping() == []
                assert broker.store.waiting == 2
            answers = [await device.read() for _ in range(2)]
            assert [int.from_bytes(each.body, "big") for each in answers] == [1, 2]


async def test_a_client_whose_answers_wait_for_the_disk_is_not_read_beyond_a_bound(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as broker:
        await subscribed(broker.port, "absent", "plant/#")
        async with connected(broker.port, "flood") as device:
            with locked(tmp_path):
                await device.send(
                    *(publish("plant/level", b"7", packet_id=n) for n in range(1, 3001))
                )
                await until(lambda: broker.store.waiting >= 1000, "a thousand answers wait")
                await asyncio.sleep(0.1)
                assert broker.store.waiting == 1000
            answers = [await device.read() for _ in range(3000)]
            numbers = [int.from_bytes(each.body, "big") for each in answers]
            assert numbers == list(range(1, 3001))


async def test_a_disk_that_refuses_is_said_once_and_caught_up_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, retry_s=0.1) as (store, _):
        assert isinstance(store, DurableStore)
        core = Core(NoUsers(), anonymous=True, max_packet_bytes=1000, store=store)
        deque(core.restore((), ()), maxlen=0)
        answered: list[int] = []
        with locked(tmp_path):
            for n in range(3):
                core.publish(retained(f"plant/{n}", QoS.AT_LEAST_ONCE))
            store.after(lambda: answered.append(1))
            await until(lambda: store.failures >= 2, "it is tried again")
            assert answered == [1]
            core.publish(retained("plant/3", QoS.AT_LEAST_ONCE))
            store.after(lambda: answered.append(2))
            assert answered == [1, 2]
            assert store.undurable == 4
        await until(lambda: store.commits, "it is written after all")
    with database(tmp_path) as file:
        assert len(file.execute("SELECT * FROM retained").fetchall()) == 4
    texts = [each.getMessage() for each in caplog.records if each.name == "broker.native.store"]
    assert len(texts) == 2
    assert "does not take" in texts[0]
    assert "again" in texts[1]


async def test_a_file_that_may_not_grow_leaves_the_broker_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, max_bytes=200_000) as (store, _):
        assert isinstance(store, DurableStore)
        core = Core(NoUsers(), anonymous=True, max_packet_bytes=1000, store=store)
        deque(core.restore((), ()), maxlen=0)
        answered: list[int] = []
        for n in range(100):
            core.publish(retained(f"plant/{n}", QoS.AT_LEAST_ONCE, bytes([65]) * 10_000))
            store.after(lambda: answered.append(1))
        await until(lambda: len(answered) == 100, "all are answered")
        assert store.failures
        assert len(core.retained) == 100
    assert "full" in caplog.text
    assert (tmp_path / FILE).stat().st_size <= 200_000


async def test_a_damaged_file_is_put_aside_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all" * 1000)
    async with running(tmp_path) as broker:
        await publish_acknowledged(broker.port, ("a", b"1"), retain=True)
    assert "damaged" in caplog.text
    (aside,) = put_aside(tmp_path)
    assert aside.read_bytes().startswith(b"no database")
    async with running(tmp_path) as broker:
        assert broker.core.retained.get("a", 0) is not None


async def test_rows_that_cannot_be_ours_count_as_damage(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await publish_acknowledged(broker.port, ("a", b"1"), retain=True)
    with database(tmp_path) as file:
        file.execute("UPDATE retained SET qos = 7")
    async with running(tmp_path) as broker:
        assert broker.core.retained.get("a", 0) is None
    assert len(put_aside(tmp_path)) == 1


async def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    with database(tmp_path) as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(EngineError, match=r"newer Fieldgate.*schema is 99"):
        async with running(tmp_path):
            pass
    assert put_aside(tmp_path) == []


async def test_without_a_usable_file_the_broker_goes_on_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).mkdir()
    async with running(tmp_path) as broker:
        await subscribed(broker.port, "absent", "plant/#")
        await publish_acknowledged(broker.port, ("plant/level", b"7"), retain=True)
        async with connection(broker.port, connect("absent", clean=False)) as client:
            assert await come_back(client)
            assert (await client.read()).payload == b"7"
    assert [each.levelno for each in caplog.records if "in memory only" in each.getMessage()] == [
        logging.ERROR
    ]


async def test_our_own_online_is_offline_after_a_crash_and_not_after_a_stop(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    online = b'{"state":"online"}'
    async with running(data) as broker:
        await publish_acknowledged(
            broker.port,
            ("fieldgate/bridge/state", online),
            ("fieldgate/boiler/availability", online),
            ("fieldgate/boiler", online),
            retain=True,
        )
        copy = crashed(data)
    assert await retained_payloads(data) == {online}
    assert await retained_payloads(copy) == {online, b'{"state":"offline"}'}


async def retained_payloads(data: Path) -> set[bytes]:
    async with running(data) as broker, connected(broker.port, "newcomer") as client:
        packets = await client.subscribe("#") + await client.ping()
    found = [each.payload for each in packets if each.type == PUBLISH]
    assert len(found) == 3
    return set(found)


def test_nobody_watches_any_more_by_a_web_server_that_died() -> None:
    online = b'{"state":"online","sessions":3,"users":["ada"]}'
    (said,) = offline_now([retained("fieldgate/bridge/web/n1", payload=online)], "fieldgate")
    assert said.payload == b'{"state":"offline","sessions":0,"users":[]}'
    assert (said.topic, said.retain) == ("fieldgate/bridge/web/n1", True)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("other/bridge/state", b'{"state":"online"}'),
        ("fieldgate/bridge/info", b'{"state":"online"}'),
        ("fieldgate/boiler/availability", b'{"state":"offline"}'),
        ("fieldgate/boiler/availability", b"online"),
        ("fieldgate/boiler/availability", b'["state"]'),
        ("fieldgate/boiler/availability", b"\xff"),
    ],
)
def test_what_is_not_our_own_online_stays_as_it_is(topic: str, payload: bytes) -> None:
    assert list(offline_now([retained(topic, payload=payload)], "fieldgate")) == []


def retained(topic: str, qos: QoS = QoS.AT_MOST_ONCE, payload: bytes = b"x") -> Routed:
    return Routed(topic, payload, qos, retain=True)
