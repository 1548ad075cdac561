"""A disk that hangs: what waits for it waits, all else goes on, and it is said once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker.link import QoS
from broker.native.packet import (
    Disconnect,
    Puback,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscribeRequest,
    Unsubscribe,
)
from broker.native.properties import Properties
from tests.broker.native.peer import Served
from tests.broker.native.test_store import database, locked, running
from tests.mqtt_packets import PUBLISH, connected
from tests.real_ends import until

Q0, Q1, Q2 = QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE, QoS.EXACTLY_ONCE
PROMISE_S = 5.0
LASTS = Properties(session_expiry_interval_s=3600)


@pytest.fixture(autouse=True)
def hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked file isn't refused, but waited for; and that is noticed soon."""
    monkeypatch.setattr("broker.native.schema._BUSY_S", 60.0)
    monkeypatch.setattr("broker.native.store.HANG_S", 0.1)


@asynccontextmanager
async def served(data: Path) -> AsyncIterator[Served]:
    async with running(data) as broker:
        yield Served(broker.core, broker.port, set())


async def keep_session(broker: Served, client_id: str, topic_filter: str) -> None:
    """A session that something is kept of, whose client is away."""
    async with broker.peer(client_id, properties=LASTS) as peer:
        await peer.subscribe(topic_filter)
        await peer.leave(Disconnect())


async def test_only_what_must_be_kept_waits_and_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as broker, broker.peer("publisher") as publisher:
        await keep_session(broker, "away", "kept/#")
        async with broker.peer("present") as present:
            await present.subscribe("#", qos=Q1)
            store = broker.core.store
            with locked(tmp_path):
                publisher.send(Publish("kept/a", b"1", Q1, packet_id=1))
                await until(lambda: store.report()["state"] == "hanging", "it is noticed")
                assert (await present.payloads(), await publisher.settled()) == ([b"1"], [])
                publisher.send(Publish("quick", b"2"))
                assert await publisher.settled() == []
                assert await present.payloads() == [b"2"]
                assert store.report()["waiting"] == 1
                assert store.report()["pending"]
            assert (await publisher.expect(Puback)).packet_id == 1
            await until(lambda: store.report()["state"] == "ok", "that, too")
            await publisher.publish("quick", b"3", Q1)
            assert store.report()["hangs"] == 1
    said = [each.getMessage() for each in caplog.records if each.name == "broker.native.store"]
    assert len(said) == 2
    assert "has not taken" in said[0]
    assert "answers again" in said[1]


async def test_it_stops_in_time_and_says_what_is_not_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with database(tmp_path) as file:
        async with asyncio.timeout(5 * PROMISE_S), served(tmp_path) as broker:
            await keep_session(broker, "away", "kept/#")
            async with broker.peer("publisher") as publisher:
                await publisher.publish("kept/a", b"1", Q1)
                file.execute("BEGIN IMMEDIATE")
                publisher.send(Publish("kept/a", b"2", Q1, packet_id=2))
                await until(lambda: broker.core.store.report()["state"] == "hanging", "it hangs")
        file.execute("ROLLBACK")
    assert "changes are not written" in caplog.text
    await until(lambda: not (tmp_path / "broker.sqlite-wal").exists(), "the thread is done")
    async with running(tmp_path) as again, connected(again.port, "x") as client:
        assert await client.ping() == []


async def test_what_comes_and_goes_meanwhile_leaves_nothing_to_write(tmp_path: Path) -> None:
    async with served(tmp_path) as broker:
        await keep_session(broker, "away", "kept/#")
        async with broker.peer("busy") as busy:
            with locked(tmp_path):
                busy.send(Publish("kept/a", b"1", Q1, packet_id=1))
                store = broker.core.store
                await until(lambda: store.report()["state"] == "hanging", "it hangs")
                pending = []
                for number in range(3):
                    for each in range(20):
                        topic = f"{number}/{each}"
                        busy.send(
                            Publish(topic, b"x", retain=True), Publish(topic, b"", retain=True)
                        )
                    async with broker.peer("comes", properties=LASTS) as comes:
                        comes.send(
                            Subscribe(1, tuple(SubscribeRequest(f"{n}/{number}") for n in range(9)))
                        )
                        comes.send(Unsubscribe(1, (f"1/{number}",)))
                        comes.send(Publish("a", b"", Q2, packet_id=1))
                        await comes.settled()
                        await comes.leave(Disconnect())
                    async with broker.peer("comes") as goes:
                        await goes.settled()
                    assert await busy.settled() == []
                    pending.append(store.report()["pending"])
                assert pending[0] == pending[-1]
            await busy.expect(Puback)
        async with broker.peer("away", clean_start=False) as away:
            assert await away.payloads() == [b"1"]
    with database(tmp_path) as kept:
        for table in ("retained", "subscription", "received"):
            assert kept.execute(f"SELECT * FROM {table}").fetchall() == []


async def test_a_client_that_says_the_same_again_and_again_makes_no_more_wait(
    tmp_path: Path,
) -> None:
    async with (
        served(tmp_path) as broker,
        broker.peer("publisher") as publisher,
        broker.peer("receiver", properties=LASTS) as receiver,
    ):
        await receiver.subscribe("a", qos=Q2)
        await publisher.publish("a", b"1", Q2)
        message = await receiver.expect(Publish)
        with locked(tmp_path):
            receiver.send(*[Pubrec(message.packet_id)] * 5000)
            store = broker.core.store
            await until(lambda: store.report()["waiting"] == 1000, "no more are taken")
            assert await publisher.settled() == []
            assert store.report()["waiting"] == 1000
        for _ in range(5000):
            assert (await receiver.expect(Pubrel)).packet_id == message.packet_id


async def test_retained_messages_come_behind_a_suback_that_waits_for_the_disk(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as broker, broker.peer("publisher") as publisher:
        await publisher.publish("a", b"1", retain=True)
        async with broker.peer("lasts", properties=LASTS) as lasts:
            with locked(tmp_path):
                lasts.send(Subscribe(1, (SubscribeRequest("a"),)))
                assert await lasts.settled() == []
            await lasts.expect(Suback)
            assert (await lasts.expect(Publish)).payload == b"1"


async def test_when_very_many_answers_wait_each_client_may_add_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.native.store.MAX_WAITING", 10)
    async with served(tmp_path) as broker:
        await keep_session(broker, "away", "kept/#")
        async with broker.peer("one") as one, broker.peer("two") as two, broker.peer("o") as other:
            with locked(tmp_path):
                one.send(*(Publish("kept/a", b"x", Q1, packet_id=n) for n in range(1, 51)))
                await until(lambda: broker.core.store.is_behind, "ten wait")
                assert await other.settled() == []
                two.send(*(Publish("kept/a", b"x", Q1, packet_id=n) for n in range(1, 51)))
                await other.settled()
                await other.settled()
                assert broker.core.store.report()["waiting"] == 12
            for peer in (one, two):
                numbers = [(await peer.expect(Puback)).packet_id for _ in range(50)]
                assert numbers == list(range(1, 51))


async def test_what_is_told_of_the_store_is_under_sys(tmp_path: Path) -> None:
    async with served(tmp_path) as broker, connected(broker.port, "watcher") as watcher:
        await watcher.subscribe("$SYS/broker/store/#")
        found = {each.topic: each.payload for each in await watcher.ping() if each.type == PUBLISH}
    assert found["$SYS/broker/store/state"] == b"ok"
    assert found["$SYS/broker/store/errors"] == b"0"
    assert {name.rpartition("/")[2] for name in found} >= {"written", "pending", "size", "hangs"}
