from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from broker.link import QoS
from broker.native.retained import LEVEL_BYTES, RetainedMessages
from broker.native.routed import Routed
from broker.topics import matches

TOPICS = ["a", "a/b", "a/b/c", "/a", "b//c", "$SYS/x", "$SYS", "b"]
FILTERS = ["#", "+", "+/#", "a/#", "a/+", "/+", "b/+/c", "$SYS/#", "$SYS/+", "+/b", "a", "a/+/#"]


def message(topic: str, payload: bytes = b"x", expires_at: float | None = None) -> Routed:
    return Routed(topic, payload, QoS.AT_MOST_ONCE, retain=True, expires_at=expires_at)


@given(st.lists(st.tuples(st.sampled_from(TOPICS), st.booleans())))
def test_a_filter_finds_the_topics_that_it_matches(steps: list[tuple[str, bool]]) -> None:
    retained = RetainedMessages()
    there: set[str] = set()
    for topic, stays in steps:
        retained.put(message(topic, b"x" if stays else b""))
        (there.add if stays else there.discard)(topic)
        assert len(retained) == len(there)
        for topic_filter in FILTERS:
            found = list(retained.topics(topic_filter))
            assert len(found) == len(set(found))
            assert set(found) == {name for name in there if matches(topic_filter, name)}


def test_an_expired_message_is_gone() -> None:
    retained = RetainedMessages()
    retained.put(message("a", expires_at=10))
    assert retained.get("a", 9.9) is not None
    assert retained.get("a", 10) is None
    assert len(retained) == 0
    assert list(retained.topics("#")) == []


def test_at_either_bound_new_topics_are_refused_and_old_ones_still_change() -> None:
    room_for_two = 2 * (message("a").size + LEVEL_BYTES)
    for bounded in (RetainedMessages(max_messages=2), RetainedMessages(max_bytes=room_for_two)):
        assert all(bounded.put(message(topic)) for topic in "ab")
        assert not bounded.put(message("c"))
        assert bounded.refused == 1
        assert bounded.put(message("a", b"y"))
        assert bounded.put(message("b", b""))
        assert bounded.put(message("c"))


def test_a_topic_that_grows_beyond_the_bound_keeps_no_stale_message() -> None:
    retained = RetainedMessages(max_bytes=1000)
    retained.put(message("a", b"old"))
    assert not retained.put(message("a", bytes(1000)))
    assert retained.get("a", 0) is None
    assert (len(retained), retained.bytes, retained.refused) == (0, 0, 1)


@given(st.lists(st.tuples(st.sampled_from(TOPICS), st.integers(0, 3))))
def test_the_bytes_are_those_of_what_there_is(steps: list[tuple[str, int]]) -> None:
    retained = RetainedMessages()
    there: dict[str, Routed] = {}
    for topic, size in steps:
        there[topic] = message(topic, bytes(size))
        retained.put(there[topic])
        expected = [each for each in there.values() if each.payload]
        levels = sum(each.topic.count("/") + 1 for each in expected)
        assert retained.bytes == sum(each.size for each in expected) + LEVEL_BYTES * levels


def test_no_topic_costs_more_memory_than_it_is_counted_with() -> None:
    for levels in (1, 16, 128):
        retained = RetainedMessages()
        tracemalloc.start()
        try:
            for number in range(2000):
                retained.put(message(f"{number}" + "/x" * (levels - 1)))
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert used < 1.1 * retained.bytes


def test_what_has_expired_makes_room_though_nobody_asks_for_it() -> None:
    retained = RetainedMessages(max_messages=3)
    for number in range(3):
        assert retained.put(message(f"{number}", expires_at=number))
    retained.put(message("1", expires_at=9))
    assert not retained.put(message("late"))
    retained.purge(1.5)
    assert len(retained) == 2
    assert retained.put(message("late"))
    retained.purge(9.5)
    assert list(retained.topics("#")) == ["late"]


def test_values_that_are_replaced_before_they_expire_leave_nothing_behind() -> None:
    retained = RetainedMessages()
    tracemalloc.start()
    try:
        for number in range(20_000):
            retained.put(message("a", expires_at=1000 + number))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 200_000


def test_topics_may_come_and_go_while_they_are_walked() -> None:
    retained = RetainedMessages()
    for number in range(10):
        retained.put(message(f"a/{number}"))
    walked = []
    for topic in retained.topics("a/+"):
        walked.append(topic)
        for number in range(10):
            retained.put(message(f"a/{number}", b""))
        retained.put(message("a/new"))
    assert set(walked) <= {f"a/{number}" for number in range(10)}
