from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.native.counters import Counters
from broker.native.encode import encode
from broker.native.engine import MAX_PACKET_BYTES
from broker.native.field import variable_integer
from broker.native.packet import Connect, Publish, Subscribe, SubscribeRequest
from broker.native.properties import Properties
from broker.native.reason import Reason
from broker.native.sys_topics import LOADS, Loads, totals
from tests.broker.native.listening import Listening, listening
from tests.broker.native.peer import V5, Served
from tests.mqtt_packets import PUBLISH, Client, connected, publish
from tests.real_ends import until


async def told(client: Client) -> dict[str, bytes]:
    """What comes until a PINGRESP, by topic."""
    return {each.topic: each.payload for each in await client.ping() if each.type == PUBLISH}


async def retained(broker: Listening) -> dict[str, bytes]:
    async with connected(broker.ports[0], "watcher") as watcher:
        await watcher.subscribe("$SYS/#")
        return await told(watcher)


async def test_the_broker_tells_of_itself_under_mosquittos_names() -> None:
    async with listening("mqtt") as broker:
        found = await retained(broker)
    names = {name.removeprefix("$SYS/broker/") for name in found}
    assert names >= {
        "version",
        "uptime",
        "clients/connected",
        "clients/disconnected",
        "clients/total",
        "clients/maximum",
        "messages/received",
        "messages/sent",
        "messages/stored",
        "retained messages/count",
        "subscriptions/count",
        "publish/messages/received",
        "publish/messages/sent",
        "publish/messages/dropped",
        "bytes/received",
        "bytes/sent",
    }
    assert found["$SYS/broker/uptime"] == b"0 seconds"


async def test_what_clients_do_is_counted_and_only_changes_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("broker.native.sys_topics.INTERVAL_S", 0.05)
    async with listening("mqtt") as broker, connected(broker.ports[0], "watcher") as watcher:
        await watcher.subscribe("a")
        await watcher.send(publish("a", b"hello") * 3)
        await watcher.subscribe("$SYS/broker/#")
        seen: dict[str, bytes] = {}
        times: dict[str, int] = {}
        while (
            seen.get("$SYS/broker/publish/messages/received"),
            seen.get("$SYS/broker/clients/connected"),
            seen.get("$SYS/broker/subscriptions/count"),
        ) != (b"3", b"1", b"2"):
            message = await watcher.read()
            seen[message.topic] = message.payload
            times[message.topic] = times.get(message.topic, 0) + 1
        assert times["$SYS/broker/version"] == 1
        counters = broker.counters
        assert counters.publishes_received == 3
        assert counters.packets_received == 6  # CONNECT, two SUBSCRIBE, three PUBLISH
        assert counters.answers_sent == 3
        assert counters.packets_sent - counters.answers_sent >= 3
        assert counters.bytes_sent > counters.bytes_received > 0


async def test_a_wildcard_at_the_beginning_does_not_match_them() -> None:
    async with listening("mqtt") as broker, connected(broker.ports[0], "watcher") as watcher:
        await watcher.subscribe("#")
        await watcher.subscribe("+/broker/version")
        assert await told(watcher) == {}


async def test_no_client_can_publish_there() -> None:
    async with listening("mqtt") as broker:
        async with connected(broker.ports[0], "liar") as liar:
            await liar.send(publish("$SYS/broker/version", b"mine", retain=True))
            await liar.ping()
        assert (await retained(broker))["$SYS/broker/version"] != b"mine"


async def test_no_client_is_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.native.sys_topics.INTERVAL_S", 0.05)
    async with listening("mqtt") as broker:
        for _ in range(3):
            async with connected(broker.ports[0], "a"), connected(broker.ports[0], "b"):
                pass
        await until(lambda: not broker.counters.open, "all have gone")
        assert broker.counters.connections == 6
        assert broker.counters.clients_maximum == 2
        assert broker.engine.core.census().clients == 0


def totals_of(number: int) -> dict[str, int]:
    return dict.fromkeys(LOADS, number)


@given(st.integers(0, 10_000), st.floats(1, 60))
def test_an_even_load_becomes_the_average_of_each_minute(rate: int, step_s: float) -> None:
    loads, total, found = Loads(), 0.0, {}
    for _ in range(int(7200 / step_s)):
        total += rate * step_s
        found = loads.after(step_s, totals_of(int(total)))
    assert {key.rpartition("/")[2] for key in found} == {"1min", "5min", "15min"}
    assert all(
        float(value) == pytest.approx(rate * 60, rel=0.1, abs=60) for value in found.values()
    )


def test_a_load_that_is_over_fades_first_from_the_shortest_average() -> None:
    loads = Loads()
    for minute in range(30):
        loads.after(60, totals_of(100 * minute))
    for _ in range(3):
        found = loads.after(60, totals_of(2900))
    one, five, fifteen = (float(found[f"load/bytes/sent/{each}min"]) for each in (1, 5, 15))
    assert 0 < one < five < fifteen < 100


def test_counters_begin_at_nothing() -> None:
    counters = Counters()
    assert not any(counters.ended.values())
    others = set(Counters.__slots__) - {"ended"}
    assert all(getattr(counters, name) == 0 for name in others)


DEEP = "/".join("x" * 129)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (Reason.PACKET_TOO_LARGE, b"\x30" + variable_integer(MAX_PACKET_BYTES)),
        (Reason.TOPIC_NAME_INVALID, encode(Publish(DEEP, b""), V5)),
        (Reason.TOPIC_FILTER_INVALID, encode(Subscribe(1, (SubscribeRequest(DEEP),)), V5)),
        (Reason.MALFORMED_PACKET, b"\x36\x00"),
        (Reason.PROTOCOL_ERROR, encode(Connect(V5, "again"), V5)),
        (
            Reason.TOPIC_ALIAS_INVALID,
            encode(Publish("a", b"", properties=Properties(topic_alias=101)), V5),
        ),
    ],
)
async def test_why_clients_are_sent_away_is_counted_by_the_reason(
    reason: Reason, said: bytes
) -> None:
    async with listening("mqtt") as broker:
        served = Served(broker.engine.core, broker.ports[0], set())
        async with served.peer("wrong") as wrong:
            wrong.send(said)
            assert (await wrong.goodbye()).reason is reason
        counted = totals(served.core, served.core.census())
        assert counted[f"disconnects/{reason.name.lower()}"] == 1
