from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from broker.link import Message
from tests.webui.history.samples import NOON_S, Sample, expected, samples
from webui.history.bounds import RecorderLimits
from webui.history.bucket import Bucket
from webui.history.recorder import Recorder
from webui.history.series import Naming, RecordedTopics, SeriesKey

NOON_MS = NOON_S * 1000
TOPIC = "fieldgate/boiler/temperature"
ALL = 1_000_000


def recorder(
    *recorded: RecordedTopics,
    known: dict[SeriesKey, int] | None = None,
    limits: RecorderLimits | None = None,
) -> Recorder:
    return Recorder(Naming("fieldgate", recorded), known or {}, 1, limits)


def hear(
    one: Recorder,
    payload: bytes | str,
    *,
    topic: str = TOPIC,
    time_ms: int = NOON_MS,
    is_replay: bool = False,
    retain: bool = False,
) -> None:
    content = payload.encode() if isinstance(payload, str) else payload
    one.take([Message(topic, content, retain=retain)], time_ms, is_replay=is_replay)
    one.drain(ALL)


def unwritten(one: Recorder, topic: str = TOPIC, field: str = "") -> list[Bucket]:
    number = one.number(topic, field)
    return [] if number is None else [bucket for _, bucket in one.unwritten_of(number)]


def test_numbers_and_truths_of_points_are_sampled_and_nothing_else() -> None:
    one = recorder()
    for payload in ("21.5", "on", "", "true", "nan"):
        hear(one, payload)
    hear(one, '{"temperature":21.5}', topic="fieldgate/boiler")
    hear(one, "7", topic="elsewhere/x")
    (bucket,) = unwritten(one)
    assert (bucket.low, bucket.high, bucket.count) == (1.0, 21.5, 2)
    assert one.series == 1
    assert one.counts.samples == 2


@given(samples(20))
def test_each_second_has_one_bucket_that_says_what_is_true(all_samples: list[Sample]) -> None:
    one = recorder()
    for sample in sorted(all_samples, key=lambda each: each.time_ms):
        hear(one, str(sample.value), time_ms=sample.time_ms)
    in_order = sorted(all_samples, key=lambda each: each.time_ms)
    found = {bucket.start: (bucket.low, bucket.mean, bucket.last) for bucket in unwritten(one)}
    assert found == {
        start: (each.low, each.mean, each.last) for start, each in expected(in_order, 1).items()
    }


def test_a_clock_that_is_set_back_begins_a_bucket_of_its_own() -> None:
    one = recorder()
    for time_ms in (NOON_MS, NOON_MS - 5000, NOON_MS - 4999, NOON_MS):
        hear(one, "1", time_ms=time_ms)
    assert [(bucket.start - NOON_S, bucket.count) for bucket in unwritten(one)] == [
        (0, 1),
        (-5, 2),
        (0, 1),
    ]


def test_a_clock_that_has_not_been_set_records_nothing() -> None:
    one = recorder()
    hear(one, "1", time_ms=60_000)
    assert unwritten(one) == []
    assert one.counts.refused == 1


def test_replayed_values_are_no_samples_but_what_else_comes_meanwhile_is() -> None:
    one = recorder()
    hear(one, "1", is_replay=True, retain=True)
    hear(one, "2", is_replay=True)
    hear(one, "3", retain=True)
    assert [(bucket.low, bucket.high) for bucket in unwritten(one)] == [(2.0, 3.0)]


def test_the_replayed_list_of_devices_counts() -> None:
    one = recorder(known={SeriesKey("b1", "temperature"): 7})
    listed = json.dumps({"devices": [{"name": "boiler", "id": "b1"}]})
    hear(one, "1")
    hear(one, listed, topic="fieldgate/bridge/devices", is_replay=True, retain=True)
    hear(one, "2")
    assert one.number(TOPIC, "") == 7
    assert [bucket.low for bucket in unwritten(one)] == [2.0]


def test_fields_of_json_are_sampled_at_their_own_time_if_they_have_one() -> None:
    one = recorder(RecordedTopics("z/+", ("power", "b.v")), RecordedTopics("z/+"))
    own = "2026-11-21T11:00:00.125Z"
    hear(one, json.dumps({"power": 5, "b": {"v": 3.3}, "time": own}), topic="z/1")
    hear(one, json.dumps({"power": 6, "time": "later"}), topic="z/1")
    for payload in ("[1]", "x"):
        hear(one, payload, topic="z/1")
    hear(one, "8", topic="z/1")
    assert [bucket.first_ms for bucket in unwritten(one, "z/1", "power")] == [
        NOON_MS - 3_599_875,
        NOON_MS,
    ]
    assert [bucket.low for bucket in unwritten(one, "z/1", "b.v")] == [3.3]
    assert [bucket.low for bucket in unwritten(one, "z/1")] == [8.0]


def test_a_backlog_waits_for_the_file_and_is_known_again() -> None:
    one = recorder()
    late = [{"time": NOON_MS - 5000 + ms, "temperature": ms} for ms in (0, 500, 1000)]
    topic = "fieldgate/boiler/backlog"
    hear(one, json.dumps(late), topic=topic)
    hear(one, json.dumps(late[:2]), topic=topic)
    hear(one, json.dumps({"temperature": 1}), topic=topic)
    assert unwritten(one) == []
    batch = one.hand_over()
    assert [(bucket.low, bucket.high, bucket.count) for bucket in batch.late.values()] == [
        (0.0, 500.0, 2),
        (1000.0, 1000.0, 1),
    ]
    assert (one.counts.samples, one.counts.repeated, one.counts.refused) == (3, 2, 1)


def test_a_series_too_many_is_refused_and_the_others_go_on() -> None:
    one = recorder(limits=RecorderLimits(series=2))
    for point in ("a", "b", "c", "a"):
        hear(one, "1", topic=f"fieldgate/x/{point}")
    hear(one, json.dumps({"time": NOON_MS, "d": 1}), topic="fieldgate/x/backlog")
    assert one.series == 2
    assert (one.counts.samples, one.counts.refused) == (3, 2)
    assert one.number("fieldgate/x/c", "") is None


def test_topics_beyond_the_bound_are_looked_up_anew() -> None:
    one = recorder(limits=RecorderLimits(topics=2))
    for n in range(10):
        hear(one, "1", topic=f"fieldgate/x/{n % 5}")
    assert one.counts.samples == 10


def test_what_comes_faster_than_it_may_be_looked_at_is_passed_over_but_for_the_devices() -> None:
    one = recorder(limits=RecorderLimits(waiting=10))
    listed = json.dumps({"devices": [{"name": "boiler", "id": "b1"}]}).encode()
    burst = [Message(TOPIC, b"1")] * 8
    one.take(burst, NOON_MS, is_replay=False)
    one.take([*burst, Message("fieldgate/bridge/devices", listed)], NOON_MS, is_replay=False)
    assert one.waiting == 9
    assert one.drain(5)
    assert one.waiting == 4
    assert not one.drain(4)
    assert one.waiting == 0
    assert one.counts.samples == 8
    assert one.counts.skipped == 9
    hear(one, "1")
    assert one.series == 2


def test_large_payloads_wait_up_to_a_bound_and_are_passed_over_beyond_it() -> None:
    one = recorder(limits=RecorderLimits(waiting_bytes=100))
    large = Message("picture", b"x" * 60)
    one.take([large, Message(TOPIC, b"1")], NOON_MS, is_replay=False)
    one.take([large, Message(TOPIC, b"1")], NOON_MS, is_replay=False)
    assert (one.waiting, one.counts.skipped) == (2, 2)
    one.drain(ALL)
    one.take([large, Message(TOPIC, b"1")], NOON_MS, is_replay=False)
    one.drain(ALL)
    assert (one.counts.samples, one.counts.skipped) == (2, 2)


def test_names_that_are_too_long_are_not_recorded() -> None:
    one = recorder(RecordedTopics("#"))
    hear(one, "1", topic="x" * 501)
    hear(one, json.dumps({"time": NOON_MS, "y" * 501: 1}), topic="fieldgate/boiler/backlog")
    assert one.series == 0
    hear(one, "1", topic="x" * 500)
    assert one.series == 1


def test_an_empty_burst_is_nothing() -> None:
    one = recorder()
    one.take([], NOON_MS, is_replay=False)
    assert not one.drain(1)


def test_large_json_counts_as_many_messages() -> None:
    one = recorder(RecordedTopics("z", ("a",)))
    message = Message("z", json.dumps({"a": 1, "b": "x" * 4000}).encode())
    one.take([message] * 10, NOON_MS, is_replay=False)
    assert one.drain(1000)
    assert one.waiting == 5


def test_a_disk_that_does_not_keep_up_costs_samples_and_not_memory() -> None:
    one = recorder(limits=RecorderLimits(buckets=3))
    for second in range(3):
        hear(one, "1", time_ms=NOON_MS + second * 1000)
    one.hand_over()
    hear(one, "1", time_ms=NOON_MS + 9000)
    hear(one, json.dumps({"time": NOON_MS, "a": 1}), topic="fieldgate/boiler/backlog")
    assert one.counts.dropped == 2
    one.take_back()
    hear(one, "5", time_ms=NOON_MS + 2001)
    hear(one, "1", time_ms=NOON_MS + 9000)
    assert one.counts.dropped == 3
    assert one.unwritten == 3
    assert unwritten(one)[-1].high == 5.0
    one.hand_over()
    one.written()
    hear(one, "1", time_ms=NOON_MS + 9000)
    assert one.counts.dropped == 3


def test_what_could_not_be_written_is_a_part_of_the_next_batch() -> None:
    one = recorder()
    late = [{"time": NOON_MS - 5000, "temperature": 1}]
    hear(one, "1")
    hear(one, json.dumps(late), topic="fieldgate/boiler/backlog")
    first = one.hand_over()
    assert [number for number, _ in one.unwritten_of(1)] == [1]
    hear(one, "2")
    hear(one, "3", topic="fieldgate/boiler/level")
    more = [*late, {"time": NOON_MS - 4999, "temperature": 2}, {"time": NOON_MS, "level": 3}]
    hear(one, json.dumps(more), topic="fieldgate/boiler/backlog")
    assert [number for number, _ in one.unwritten_of(1)] == [1, 2]
    one.take_back()
    batch = one.hand_over()
    assert batch is first
    assert batch.number == 2
    assert batch.size == 5
    assert [bucket.low for bucket in batch.live[1]] == [1.0, 2.0]
    assert {key: bucket.count for key, bucket in batch.late.items()} == {
        (1, NOON_S - 5): 1,
        (2, NOON_S): 1,
    }
    assert list(batch.series.values()) == [
        SeriesKey("boiler", "temperature"),
        SeriesKey("boiler", "level"),
    ]


def test_a_new_file_gets_all_series_again() -> None:
    one = recorder(known={SeriesKey("boiler", "temperature"): 4})
    hear(one, "1", topic="fieldgate/boiler/level")
    assert set(one.hand_over().series) == {5}
    one.take_back()
    one.file_is_new()
    assert set(one.hand_over().series) == {4, 5}


@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=50)), max_size=20))
def test_any_messages_are_taken(messages: list[tuple[str, bytes]]) -> None:
    one = recorder(RecordedTopics("#", ("a",)), RecordedTopics("#"))
    one.take([Message(*each) for each in messages], NOON_MS, is_replay=False)
    assert not one.drain(ALL)
    assert one.unwritten <= one.counts.samples
