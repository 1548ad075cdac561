"""Messages that go on together are the same messages as one by one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.access import Users, parse_users
from broker.errors import PacketError
from broker.link import QoS
from broker.native import publish, stream
from broker.native.encode import encode
from broker.native.message_run import MAX_BYTES, MAX_MESSAGES, MessageRun
from broker.native.packet import (
    Packet,
    Puback,
    Publish,
    Subscribe,
    SubscribeRequest,
    Unsubscribe,
    Version,
)
from broker.native.properties import Properties
from broker.native.publish import encode_publish
from broker.native.routed import Routed
from broker.native.router import Routes
from tests.broker.native.packets import (
    blobs,
    packet_ids,
    properties_of,
    stream_of,
)
from tests.broker.native.peer import EVERY_VERSION, V31, V311, Peer, served

Q0, Q1, Q2 = QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE, QoS.EXACTLY_ONCE

ONE: Routes[Any] = Routes((), ())
OTHER: Routes[Any] = Routes((), ())
OPEN = {b"a": ONE, b"a/b": ONE, "é".encode(): OTHER}

publishes = st.builds(
    Publish,
    st.sampled_from(["a", "a/b", "é", "closed"]),
    blobs | st.sampled_from([bytes(123), bytes(124), bytes(130), bytes(16_400)]),
    qos=st.sampled_from([Q0, Q0, Q0, Q1]),
    retain=st.sampled_from([False, False, True]),
    packet_id=packet_ids,
    properties=properties_of("PUBLISH", but=["subscription_identifiers", "topic_alias"])
    | st.just(Properties()),
)


def taken(chunks: Iterable[bytes], version: Version, *, most_bytes: int = 10**6) -> list[object]:
    """What comes where topics are open, runs taken apart; an error's reason at the end."""
    reading = stream_of(version, max_packet_bytes=most_bytes)
    reading.open_topics = OPEN
    found: list[object] = []
    try:
        for chunk in chunks:
            reading.feed(chunk)
            while (packet := reading.next_run() or reading.next_packet()) is not None:
                if isinstance(packet, MessageRun):
                    assert len(packet.messages) == packet.count
                    found += map(shown, packet.messages)
                else:
                    found.append(shown(packet))
    except PacketError as error:
        found.append(error.reason)
    return found


def one_by_one(data: bytes, version: Version, *, most_bytes: int = 10**6) -> list[object]:
    reading = stream_of(version, max_packet_bytes=most_bytes)
    reading.feed(data)
    found: list[object] = []
    try:
        while (packet := reading.next_packet()) is not None:
            found.append(shown(packet))
    except PacketError as error:
        found.append(error.reason)
    return found


def shown(message: Packet | Routed) -> object:
    if isinstance(message, Publish | Routed):
        return (message.topic, message.payload, message.qos, message.retain, message.properties)
    return message


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(at)]


@given(
    st.lists(publishes, max_size=20), st.lists(st.integers(0), max_size=5), st.sampled_from(Version)
)
def test_with_runs_or_without_the_same_messages_come_in_the_same_order(
    packets: list[Publish], places: list[int], version: Version
) -> None:
    data = b"".join(encode(packet, version) for packet in packets)
    assert taken(cut(data, places), version) == one_by_one(data, version)


@given(
    st.lists(publishes, min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=3),
    st.sampled_from(Version),
    st.sampled_from([20, 10**6]),
)
def test_with_runs_or_without_wrong_bytes_lead_to_the_same_end(
    packets: list[Publish], changes: list[tuple[int, int]], version: Version, most_bytes: int
) -> None:
    data = bytearray(b"".join(encode(packet, version) for packet in packets))
    for place, value in changes:
        data[place % len(data)] = value
    expected = one_by_one(bytes(data), version, most_bytes=most_bytes)
    assert taken([bytes(data)], version, most_bytes=most_bytes) == expected


@pytest.mark.parametrize("version", Version)
def test_a_run_holds_what_goes_to_the_same_receivers_and_not_too_much(version: Version) -> None:
    def run_of(*packets: bytes, open_topics: dict[bytes, Routes[Any]] | None = None) -> int:
        reading = stream_of(version)
        reading.open_topics = OPEN if open_topics is None else open_topics
        reading.feed(b"".join(packets))
        run = reading.next_run()
        assert run is None or (run.raw == b"".join(packets[: run.count]) and run.version is version)
        return 0 if run is None else run.count

    a, b, other, closed = (
        encode_publish(topic, b"x", version=version) for topic in ("a", "a/b", "é", "closed")
    )
    assert run_of(a, b, a) == 3
    assert run_of(a, other, a) == 1
    assert run_of(a, closed, a) == 1
    assert run_of(closed, a) == 0
    assert run_of(a, b, open_topics={}) == 0
    assert run_of(*[a] * 3000) == MAX_MESSAGES
    large = encode_publish("a", bytes(1000), version=version)
    assert run_of(*[large] * 100) == MAX_BYTES // len(large)
    for kept in (
        encode_publish("a", b"x", retain=True, version=version),
        encode_publish("a", b"x", Q1, packet_id=1, version=version),
        encode_publish("a", bytes(20_000), version=version),
    ):
        assert run_of(kept, a) == 0
        assert run_of(a, kept) == 1


async def open_topic(publisher: Peer, topic: str) -> None:
    """Publish once, so that what comes next may go on as it comes."""
    publisher.send(Publish(topic, b"first"))
    await publisher.settled()


@pytest.mark.parametrize("receiver", EVERY_VERSION)
@pytest.mark.parametrize("sender", EVERY_VERSION)
async def test_many_messages_at_once_come_whole_between_all_versions(
    sender: Version, receiver: Version
) -> None:
    sent = [Publish(f"a/{number % 7}", b"%d" % number) for number in range(3000)]
    async with (
        served() as broker,
        broker.peer("receiver", receiver) as subscriber,
        broker.peer("sender", sender) as publisher,
    ):
        await subscriber.subscribe("a/+", qos=Q1)
        publisher.send(*sent)
        await publisher.settled()
        found = await subscriber.messages()
        assert [(each.topic, each.payload) for each in found] == [
            (each.topic, each.payload) for each in sent
        ]
        counters = broker.core.counters
        assert counters.publishes_received == 3000
        assert counters.packets_sent - counters.answers_sent == 3000
        assert counters.packets_received >= 3000


async def test_a_message_to_a_known_topic_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Publish] = []

    def decode_publish(*arguments: Any) -> Publish:
        decoded.append(publish.decode_publish(*arguments))
        return decoded[-1]

    monkeypatch.setattr(stream, "decode_publish", decode_publish)
    async with served() as broker, broker.peer("one") as one, broker.peer("other") as other:
        await one.subscribe("a")
        for _ in range(10):
            other.send(*[Publish("a", b"x")] * 10)
            await other.settled()
        assert len(decoded) <= 10, "the first, and where packets were cut"
        assert len(await one.messages()) == 100


@pytest.mark.parametrize("version", EVERY_VERSION)
async def test_a_subscription_counts_from_the_very_message_on_that_comes_behind_it(
    version: Version,
) -> None:
    async with served() as broker, broker.peer("one", version) as one:
        message = Publish("a", b"x")
        one.send(
            *[message] * 5,
            Subscribe(1, (SubscribeRequest("a"),)),
            *[message] * 3,
            Unsubscribe(2, ("a",)),
            *[message] * 5,
        )
        found = [packet for packet in await one.settled() if isinstance(packet, Publish)]
        assert len(found) == 3


async def test_each_receiver_gets_many_messages_at_once_as_it_asked_for_them() -> None:
    async with (
        served() as broker,
        broker.peer("publisher") as publisher,
        broker.peer("named") as named,
        broker.peer("small", properties=Properties(maximum_packet_size=40)) as small,
        broker.peer("short", properties=Properties(topic_alias_maximum=5)) as short,
        broker.peer("old", V31) as old,
    ):
        await publisher.subscribe(SubscribeRequest("a", no_local=True))
        await named.subscribe("a", identifier=7)
        await named.subscribe("+", identifier=8)
        for peer in (small, short, old):
            await peer.subscribe("a")
        await open_topic(publisher, "a")
        publisher.send(*[Publish("a", b"x" * size) for size in (1, 100, 2)])
        assert await publisher.messages() == []
        for peer in (named, short, old):
            assert [len(payload) for payload in await peer.payloads()] == [5, 1, 100, 2]
        assert [len(payload) for payload in await small.payloads()] == [5, 1, 2]
        publisher.send(*[Publish("a", b"x")] * 2)
        assert await publisher.messages() == []
        for message in await named.messages():
            assert sorted(message.properties.subscription_identifiers) == [7, 8]
        for message in await short.messages():
            assert (message.topic, message.properties.topic_alias) == ("", 1)


async def test_members_of_a_shared_subscription_take_turns_with_many_messages_at_once() -> None:
    async with (
        served() as broker,
        broker.peer("publisher") as publisher,
        broker.peer("one") as one,
        broker.peer("two") as two,
    ):
        await open_topic(publisher, "a")
        for peer in (one, two):
            await peer.subscribe("$share/group/a")
        publisher.send(*[Publish("a", b"x")] * 100)
        await publisher.settled()
        assert [len(await peer.messages()) for peer in (one, two)] == [50, 50]


async def test_what_a_client_may_publish_is_judged_again_when_the_rules_change() -> None:
    rules = """
users: {}
rules:
  - {user: "*", %s: [publish], topics: [a]}
  - {user: "*", allow: [publish, subscribe], topics: ["#"]}
"""
    users = Users(parse_users(rules % "allow"))
    async with served(users) as broker, broker.peer("one") as one, broker.peer("two") as two:
        await two.subscribe("a")
        users.on_change(broker.core.judge_again)
        for verb, expected in (("allow", 10), ("deny", 0), ("allow", 10)):
            users.take_up(parse_users(rules % verb))
            one.send(*[Publish("a", b"x")] * 10)
            await one.settled()
            assert len(await two.messages()) == expected


async def test_a_client_that_is_done_publishes_no_more() -> None:
    async with served() as broker, broker.peer("one") as one, broker.peer("two", V311) as two:
        await one.subscribe("a")
        await open_topic(two, "a")
        two.send(*[Publish("a", b"x")] * 3, b"\xe0\x00", *[Publish("a", b"y")] * 3)
        await two.until_closed()
        assert await one.payloads() == [b"first", b"x", b"x", b"x"]


async def test_messages_of_all_kinds_keep_their_order() -> None:
    async with served() as broker, broker.peer("one") as one, broker.peer("two") as two:
        await one.subscribe("#", qos=Q0)
        topics = [f"a/{number}" for number in range(1200)]  # more than are known at once
        for turn in range(3):
            two.send(
                *(
                    Publish(topic, b"%d" % turn, Q1 if place % 5 == 0 else Q0, packet_id=1)
                    for place, topic in enumerate(topics)
                )
            )
            assert all(isinstance(packet, Puback) for packet in await two.settled())
            assert [message.topic for message in await one.messages()] == topics
