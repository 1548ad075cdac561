"""One bound on what all clients together are owed: never exceeded, and paid by the fullest."""

from __future__ import annotations

import tracemalloc
from collections import deque
from contextlib import AsyncExitStack

from hypothesis import given
from hypothesis import strategies as st

from broker.link import QoS
from broker.native.backlog import DELIVERY_BYTES, MAX_GIVEN_UP, Backlog
from broker.native.mqtt_session import MAX_IN_FLIGHT_BYTES, NUMBER_BYTES, MqttSession
from broker.native.packet import Disconnect, Puback, Publish, Pubrec
from broker.native.properties import Properties
from broker.native.reason import Reason
from broker.native.routed import Routed
from broker.native.router import Route
from tests.broker.native.peer import V311, served
from tests.broker.native.test_mqtt_session import FakeWire

Q1, Q2 = QoS.AT_LEAST_ONCE, QoS.EXACTLY_ONCE
LASTS = Properties(session_expiry_interval_s=3600)


def message(size: int) -> Routed:
    return Routed("a", bytes(size), Q1)


def sessions(backlog: Backlog, *names: str) -> list[MqttSession]:
    return [MqttSession(name, backlog=backlog) for name in names]


def give(session: MqttSession, given: Routed) -> None:
    session.deliver(given, Route(session, Q2, False, ()))


def test_a_message_counts_once_and_each_who_waits_for_it_a_little() -> None:
    backlog = Backlog()
    one, two = sessions(backlog, "one", "two")
    shared = message(1000)
    give(one, shared)
    give(two, shared)
    assert backlog.bytes == shared.size + 2 * DELIVERY_BYTES
    assert (backlog.messages, backlog.deliveries) == (1, 2)
    one.close()
    assert backlog.bytes == shared.size + DELIVERY_BYTES
    two.wire = FakeWire()
    two.resume()
    assert backlog.bytes == shared.size + DELIVERY_BYTES, "until it is acknowledged"
    two.acknowledged(1)
    assert (backlog.bytes, backlog.messages, backlog.deliveries) == (0, 0, 0)


def test_the_fullest_queue_gives_up_its_oldest_and_nobody_else_does() -> None:
    backlog = Backlog(max_bytes=1_000_000)
    hog, modest = sessions(backlog, "hog", "modest")
    for _ in range(5):
        give(modest, message(100))
    for number in range(200):
        give(hog, message(10_000 + number))
    give(modest, message(100))
    assert (modest.waiting, modest.dropped) == (6, 0)
    assert hog.dropped == backlog.given_up > 100
    sizes = [len(each.message.payload) for each in hog.owed]
    assert sizes == list(range(10_200 - hog.waiting, 10_200)), "the newest are left"
    assert backlog.bytes <= 1_000_000


def test_queues_that_are_as_full_take_turns() -> None:
    backlog = Backlog(max_bytes=500_000)
    all_of_them = sessions(backlog, *map(str, range(10)))
    for _ in range(1000):
        shared = message(1000)
        for each in all_of_them:
            give(each, shared)
    left = [each.waiting for each in all_of_them]
    assert max(left) - min(left) <= 1
    assert min(left) > 100, "each message counts once"


def test_what_is_in_flight_stays_and_the_new_message_is_not_taken() -> None:
    backlog = Backlog(max_bytes=100_000)
    busy, late = sessions(backlog, "busy", "late")
    busy.wire = FakeWire()
    for _ in range(9):
        give(busy, message(10_000))
    give(late, message(20_000))
    assert (busy.waiting, late.waiting, late.dropped, backlog.refused) == (9, 0, 1, 1)
    assert not late.is_half_full, "nothing waits, so nothing would come of waiting"
    busy.acknowledged(1)
    give(late, message(10_000))
    assert late.waiting == 1


def test_no_more_is_given_up_for_one_message_than_is_quickly_done() -> None:
    backlog = Backlog(max_bytes=1_000_000)
    many, late = sessions(backlog, "many", "late")
    shared = message(10)
    for _ in range(3000):
        give(many, shared)
    before = many.waiting
    give(late, message(900_000))
    assert (late.waiting, before - many.waiting) == (0, MAX_GIVEN_UP)
    give(late, message(100_000))
    assert late.waiting == 1


def test_a_client_that_acknowledges_nothing_has_so_many_bytes_in_flight_and_no_more() -> None:
    (session,) = sessions(Backlog(), "one")
    session.wire = wire = FakeWire(window=100)
    for _ in range(10):
        give(session, message(MAX_IN_FLIGHT_BYTES // 2))
    assert len(wire.payloads) == 2
    session.wire = again = FakeWire(window=100)
    session.resume()
    assert len(again.payloads) == 2, "those come again"
    session.acknowledged(1)
    assert len(again.payloads) == 3


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["deliver", "deliver", "deliver", "come", "go", "ack", "withdraw", "end"]),
        st.integers(0, 3),
        st.integers(0, 70_000),
    ),
    max_size=60,
)


@given(OPERATIONS)
def test_whatever_happens_it_counts_what_there_is_and_keeps_its_bound(
    steps: list[tuple[str, int, int]],
) -> None:
    backlog = Backlog(max_bytes=200_000)
    there = sessions(backlog, *"abcd")
    for step, number, size in steps:
        session = there[number]
        match step:
            case "deliver":
                given = message(size)
                for each in (session, there[size % 4]):
                    give(each, given)
            case "come":
                session.wire = wire = FakeWire(window=2)
                wire.has_room = bool(size % 2)
                session.resume()
            case "go":
                session.wire = None
            case "ack":
                session.acknowledged(next((each.packet_id for each in session.owed), 0))
            case "withdraw":
                session.withdraw(lambda _topic: True)
            case _:
                session.close()
        owed = deque(each for one in there for each in one.owed)
        held = {each.message for each in owed}
        assert backlog.deliveries == len(owed) == sum(each.waiting for each in there)
        assert backlog.messages == len(held)
        assert backlog.bytes == sum(each.size for each in held) + DELIVERY_BYTES * len(owed)
        assert backlog.bytes <= backlog.max_bytes


async def test_all_that_absent_clients_together_are_owed_stays_within_its_bound() -> None:
    bound = 4_000_000
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(served(max_backlog_bytes=bound))
        for number in range(40):
            async with broker.peer(f"away{number}", properties=LASTS) as away:
                await away.subscribe("all", f"own/{number}", qos=Q1)
                await away.leave(Disconnect())
        publisher = await stack.enter_async_context(broker.peer("publisher"))
        tracemalloc.start()
        try:
            for number in range(1000):
                topic = f"own/{number % 40}" if number % 2 else "all"
                await publisher.publish(topic, b"%5d" % number + bytes(20_000), Q1)
            current, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert current < 2 * bound
        assert broker.core.backlog.bytes <= bound
        assert broker.core.census().dropped == broker.core.backlog.given_up > 0
        async with broker.peer("away3", clean_start=False, properties=LASTS) as away:
            got = [int(each.payload[:5]) for each in await away.messages()]
        assert got == sorted(got)
        assert got[-1] == 998, "the newest are kept"


async def test_numbers_of_qos_2_messages_that_are_never_released_count_too() -> None:
    bound = 100 * NUMBER_BYTES
    async with (
        served(max_backlog_bytes=bound) as broker,
        broker.peer("hoarder", V311) as hoarder,
        broker.peer("one") as one,
    ):
        for number in range(1, 101):
            hoarder.send(Publish("a", b"", Q2, packet_id=number))
            assert await hoarder.expect(Pubrec)
        assert broker.core.backlog.bytes == bound
        one.send(Publish("a", b"", Q2, packet_id=1))
        assert (await one.goodbye()).reason is Reason.QUOTA_EXCEEDED
        hoarder.send(Publish("a", b"", Q1, packet_id=200))
        await hoarder.expect(Puback)
        hoarder.vanish()
        await broker.gone()
        assert broker.core.backlog.bytes == 0
