from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.link import Message
from webui.last_value import LastValues
from webui.wire import Entry, encode_message


def entry(seq: int, topic: str, payload: str = "x", *, retain: bool = False) -> Entry:
    message = Message(topic, payload.encode(), retain=retain)
    return encode_message(message, time_ms=0, seq=seq, gone=not payload)


def plenty() -> LastValues:
    return LastValues(topics=100, size=100_000, tombstones=100)


def seqs(entries: list[Entry]) -> list[int]:
    return [each.seq for each in entries]


def test_last_values_come_in_the_order_in_which_they_were_set() -> None:
    last = plenty()
    for seq, topic in enumerate(["a", "b", "c", "a"], 1):
        last.put(entry(seq, topic))
    assert seqs(last.after(0, tombstones=False)) == [2, 3, 4]
    assert seqs(last.after(3, tombstones=False)) == [4]
    assert seqs(last.after(4, tombstones=False)) == []


def test_a_cleared_topic_stays_in_the_order_as_a_tombstone() -> None:
    last = plenty()
    for seq, (topic, payload) in enumerate([("a", "1"), ("b", "1"), ("a", "")], 1):
        last.put(entry(seq, topic, payload))
    assert len(last) == 1
    assert seqs(last.after(0, tombstones=False)) == [2]
    assert seqs(last.after(0, tombstones=True)) == [2, 3]


def test_a_topic_that_was_never_there_leaves_no_tombstone() -> None:
    last = plenty()
    last.put(entry(1, "a", ""))
    assert last.get("a") is None
    assert last.tombstones == 0


def test_the_horizon_is_the_newest_tombstone_that_was_dropped() -> None:
    last = LastValues(topics=100, size=100_000, tombstones=1)
    last.put(entry(1, "a"))
    last.put(entry(2, "b"))
    last.put(entry(3, "a", ""))
    assert last.horizon == 0
    last.put(entry(4, "b", ""))
    assert (last.horizon, last.tombstones) == (3, 1)


def test_a_topic_too_many_is_kept_out_and_counted() -> None:
    last = LastValues(topics=1, size=100_000, tombstones=1)
    last.put(entry(1, "a"))
    last.put(entry(2, "b"))
    last.put(entry(3, "a", "2"))
    assert (len(last), last.refused, last.horizon) == (1, 1, 0)
    assert seqs(last.after(0, tombstones=True)) == [3]


def test_a_value_that_grew_too_large_is_not_left_at_its_old_self() -> None:
    last = LastValues(topics=10, size=200, tombstones=1)
    last.put(entry(1, "a"))
    last.put(entry(2, "a", "x" * 300))
    assert last.get("a") is None
    assert (last.refused, last.horizon) == (1, 2)


def test_what_the_broker_retains_is_known_by_the_newest_message() -> None:
    last = plenty()
    last.put(entry(1, "a", retain=True))
    last.put(entry(2, "b", retain=True))
    last.put(entry(3, "b"))
    last.put(entry(4, "c", retain=True))
    last.put(entry(5, "c", "", retain=True))
    assert last.retained() == {"a"}


@given(
    puts=st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["", "1", "x" * 50]))),
    topics=st.integers(0, 4),
    size=st.integers(0, 400),
    tombstones=st.integers(0, 3),
)
def test_every_bound_holds_after_any_traffic(
    puts: list[tuple[str, str]], topics: int, size: int, tombstones: int
) -> None:
    last = LastValues(topics=topics, size=size, tombstones=tombstones)
    for seq, (topic, payload) in enumerate(puts, 1):
        last.put(entry(seq, topic, payload))
        everything = last.after(0, tombstones=True)
        assert len(last) == sum(not each.gone for each in everything) <= topics
        assert last.tombstones == sum(each.gone for each in everything) <= tombstones
        assert last.size == sum(len(each.body) for each in everything) <= size
        assert seqs(everything) == sorted(seqs(everything))
        assert last.horizon <= seq
