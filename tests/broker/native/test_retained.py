from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.link import QoS
from broker.native.retained import RetainedMessages
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
    for bounded in (RetainedMessages(max_messages=2), RetainedMessages(max_bytes=450)):
        assert all(bounded.put(message(topic)) for topic in "ab")
        assert not bounded.put(message("c"))
        assert bounded.refused == 1
        assert bounded.put(message("a", b"y"))
        assert bounded.put(message("b", b""))
        assert bounded.put(message("c"))


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
