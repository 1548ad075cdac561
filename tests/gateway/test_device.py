"""A device's state as MQTT messages, with a clock of the test's own."""

import json
import math
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.link import Message, QoS
from gateway.device import Device, Said, iso_time
from gateway.measurement import Measurement, Value
from gateway.points.config import PointConfig
from gateway.points.names import PointNames
from gateway.points.report import ReportConfig

NOON_MS = 1_795_262_400_000


def boiler(report: dict[str, object] | None = None, **listed: dict[str, object]) -> Device:
    return Device(
        "fieldgate/boiler",
        PointNames(listed),
        description={"name": "boiler"},
        points={name: PointConfig.model_validate(keys) for name, keys in listed.items()},
        report=ReportConfig.model_validate(report or {}),
        describe=lambda point: {"unit": "%"} if point.endswith("_percent") else {},
    )


class Stage:
    """A device, and the time: everything is asked for as soon as it is due."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.now_s = 0.0
        self.messages: list[tuple[float, Message]] = []

    def say(self, **fields: Value) -> None:
        measurement = Measurement(NOON_MS + round(self.now_s * 1000), fields)
        self._publish(self.device.take(measurement, self.now_s))

    def wait(self, seconds: float) -> None:
        """Let time pass, with a tick every second."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            tick_s = min(math.floor(self.now_s) + 1.0, end_s)
            while self.device.due_s <= tick_s:
                self.now_s = max(self.now_s, self.device.due_s)
                self._publish(self.device.release(self.now_s))
            self.now_s = tick_s
            self.device.tick(tick_s)
            self._publish(Said([], []))

    def times_of(self, topic: str) -> list[float]:
        return [at_s for at_s, one in self.messages if one.topic == f"fieldgate/boiler{topic}"]

    def payloads_of(self, topic: str) -> list[bytes]:
        return [one.payload for _, one in self.messages if one.topic == f"fieldgate/boiler{topic}"]

    @property
    def state(self) -> dict[str, object]:
        state = json.loads(self.payloads_of("")[-1])
        assert isinstance(state, dict)
        return state

    def _publish(self, said: Said) -> None:
        state = self.device.state(self.now_s)
        for message in (*said.values, *said.events, *([state] if state else [])):
            self.messages.append((self.now_s, message))


def topics(messages: Iterable[Message]) -> dict[str, bytes]:
    return {message.topic: message.payload for message in messages}


def test_each_point_has_its_topic_and_the_state_has_them_all() -> None:
    device = boiler()
    said = device.take(Measurement(NOON_MS, {"T": 21.5, "Pump on": True}), 0)
    assert topics(said.values) == {
        "fieldgate/boiler/t": b"21.5",
        "fieldgate/boiler/pump_on": b"true",
    }
    assert said.events == []
    assert all(one.retain and one.qos is QoS.AT_MOST_ONCE for one in said.values)

    device.take(Measurement(NOON_MS + 250, {"T": 22}), 0)
    state = device.state(0)
    assert state is not None
    assert state.topic == "fieldgate/boiler"
    assert state.retain
    assert state.qos is QoS.AT_LEAST_ONCE
    assert json.loads(state.payload) == {
        "t": 22,
        "pump_on": True,
        "time": "2026-11-21T12:00:00.250Z",
    }
    assert device.state(0) is None, "it has no news"


def test_no_value_is_null_in_the_state_and_nothing_on_the_topic() -> None:
    device = boiler()
    said = device.take(Measurement(NOON_MS, {"t": math.nan, "p": math.inf, "q": None}), 0)
    assert said.values == []
    state = device.state(0)
    assert state is not None
    assert json.loads(state.payload) == {"t": None, "p": None, "q": None, "time": iso_time(NOON_MS)}


def test_a_device_that_said_nothing_has_only_its_availability() -> None:
    device = boiler()
    assert topics(device.retained()) == {"fieldgate/boiler/availability": b'{"state":"offline"}'}


def test_everything_is_said_again_for_a_broker_that_forgot() -> None:
    device = boiler(button={"type": "event"})
    device.came_online()
    device.take(Measurement(NOON_MS, {"t": 1, "button": True}), 0)
    assert topics(device.retained()) == {
        "fieldgate/boiler/availability": b'{"state":"online"}',
        "fieldgate/boiler/t": b"1",
        "fieldgate/boiler": b'{"t":1,"time":"2026-11-21T12:00:00.000Z"}',
    }
    assert device.state(0) is None


def test_the_description_has_listed_and_seen_points_and_what_the_reader_knows() -> None:
    device = boiler(
        temperature={"unit": "°C", "scale": 0.1},
        cpu_percent={"name": "CPU"},
        mode={"options": {"0": "auto", "1": "manual", "2": "auto"}},
    )
    device.take(Measurement(NOON_MS, {"pressure": 1, "memory_percent": 2}), 0)
    assert device.description() == {
        "name": "boiler",
        "points": {
            "temperature": {"unit": "°C", "type": "number"},
            "cpu_percent": {"unit": "%", "name": "CPU"},
            "mode": {"type": "enum", "options": ["auto", "manual"]},
            "pressure": {"type": "number"},
            "memory_percent": {"unit": "%", "type": "number"},
        },
    }


def test_values_that_make_no_sense_are_counted_beside_those_without_a_point() -> None:
    device = boiler(temperature={"unit": "°C", "invalid": [85]})
    device.take(Measurement(NOON_MS, {"temperature": 85, "°": 1}), 0)
    device.take(Measurement(NOON_MS, {"temperature": "ERR"}), 0)
    assert device.dropped == {"no_name": 1, "invalid": 1, "no_number": 1}
    state = device.state(0)
    assert state is not None
    assert json.loads(state.payload)["temperature"] is None


def test_a_button_is_an_event_and_never_retained_nor_in_the_state() -> None:
    device = boiler(button={"type": "event"})
    said = device.take(Measurement(NOON_MS + 5, {"button": True, "t": 1}), 0)
    (event,) = said.events
    assert event.topic == "fieldgate/boiler/button"
    assert json.loads(event.payload) == {
        "event_type": "press",
        "time": "2026-11-21T12:00:00.005Z",
    }
    assert event.qos is QoS.AT_LEAST_ONCE
    assert not event.retain
    assert topics(said.values).keys() == {"fieldgate/boiler/t"}
    state = device.state(0)
    assert state is not None
    assert json.loads(state.payload).keys() == {"t", "time"}
    released = device.take(Measurement(NOON_MS, {"button": False}), 0)
    assert released == Said([], [])
    assert device.state(0) is None


def test_two_presses_are_two_events() -> None:
    device = boiler({"on_change": True}, button={"type": "event"})
    for _ in range(2):
        assert len(device.take(Measurement(NOON_MS, {"button": 1}), 0).events) == 1


def test_the_state_has_the_time_of_the_measurement_that_it_shows() -> None:
    stage = Stage(boiler({"max_per_s": 1}))
    stage.say(t=1)
    stage.wait(0.25)
    stage.say(t=2)
    stage.wait(5)
    assert stage.payloads_of("/t") == [b"1", b"2"]
    assert stage.times_of("/t") == [0, 1]
    assert stage.state["time"] == iso_time(NOON_MS + 250)


def test_a_clock_that_is_set_back_is_believed() -> None:
    device = boiler()
    device.take(Measurement(NOON_MS, {"t": 1}), 0)
    device.take(Measurement(NOON_MS - 60_000, {"t": 2}), 1)
    state = device.state(1)
    assert state is not None
    assert json.loads(state.payload)["time"] == iso_time(NOON_MS - 60_000)


def test_the_state_says_nothing_new_while_no_point_does() -> None:
    stage = Stage(boiler(t={"report": {"dead_band": 1}}))
    for value in (1.0, 1.5, 1.9, 2.1):
        stage.say(t=value)
        stage.wait(0.1)
    assert stage.payloads_of("/t") == [b"1.0", b"2.1"]
    assert len(stage.payloads_of("")) == 2
    assert stage.state["t"] == 2.1


def test_the_state_of_a_chatty_device_keeps_to_the_rate_and_shows_the_newest_in_the_end() -> None:
    stage = Stage(boiler({"max_per_s": 2}))
    for value in range(100):
        stage.say(t=value, p=value)
        stage.wait(0.037)
    stage.wait(1)
    for topic in ("", "/t", "/p"):
        assert all(after - before >= 0.5 for before, after in pairwise(stage.times_of(topic)))
        assert len(stage.times_of(topic)) >= 8
    assert stage.state["t"] == stage.state["p"] == 99


def test_a_silent_point_is_stale_in_the_state_and_a_heard_one_no_longer() -> None:
    stage = Stage(boiler())
    for number in range(10):
        stage.say(t=number, p=number)
        stage.wait(1)
    assert "stale" not in stage.state
    for number in range(10):
        stage.say(p=number)
        stage.wait(1)
    assert stage.state["stale"] == ["t"]
    assert stage.state["t"] == 9
    stage.say(t=1)
    assert "stale" not in stage.state


def test_a_device_that_falls_silent_says_so_with_the_time_of_its_last_measurement() -> None:
    stage = Stage(boiler({"stale_after_s": 7}, q={"report": {"stale_after_s": "never"}}))
    stage.say(t=1, p=1, q=1)
    stage.wait(7)
    assert "stale" not in stage.state
    stage.wait(2)
    assert stage.state["stale"] == ["t", "p"]
    assert stage.state["time"] == iso_time(NOON_MS)
    assert len(stage.payloads_of("")) == 2


def test_an_outage_whose_reason_is_known_changes_no_interval() -> None:
    stage = Stage(boiler())
    for _ in range(2):
        for number in range(10):
            stage.say(t=number)
            stage.wait(1)
        stage.device.went_offline("unplugged")
        stage.wait(3_600)
        assert stage.state["stale"] == ["t"]
        stage.device.came_online()
    assert stage.device.expire_after_s("t") == 5


def test_what_was_learned_is_described_and_described_anew_only_when_it_doubles_or_halves() -> None:
    stage = Stage(boiler())
    revisions = []
    for seconds in [*[2.0] * 10, *[2.3] * 10, *[20.0] * 10]:
        stage.say(t=1)
        stage.wait(seconds)
        revisions.append(stage.device.revision)
    known = {"type": "number", "expire_after_s": 100, "interval_s": 20}
    assert stage.device.description()["points"] == {"t": known}
    assert len(set(revisions)) == 3, "seen, learned, learned anew"
    assert stage.device.expire_after_s("t") == 100
    assert stage.device.expire_after_s("unheard") == 0


@pytest.mark.parametrize(
    ("report", "interval_s", "expire_after_s"),
    [
        ({"on_change": True}, 2.0, 10),
        ({"on_change": True}, 0.1, 5),
        ({"on_change": True}, 30.0, 100),
        ({"on_change": True, "max_per_s": 0.2}, 1.0, 20),
        ({"on_change": True, "every_s": 60}, 1.0, 5),
        ({"every_s": 60}, 1.0, 200),
        ({}, 2.0, 10),
    ],
)
def test_an_unchanged_value_is_published_at_least_twice_before_it_may_be_taken_for_gone(
    report: dict[str, object], interval_s: float, expire_after_s: float
) -> None:
    stage = Stage(boiler(report))
    for _ in range(1 + int(12 * expire_after_s / interval_s)):
        stage.say(t=1)
        stage.wait(interval_s)
    assert stage.device.expire_after_s("t") == expire_after_s
    times_s = [at_s for at_s in stage.times_of("/t") if at_s > 2 * expire_after_s]
    assert len(times_s) >= 8
    assert all(after - before <= expire_after_s / 2 for before, after in pairwise(times_s))


def test_a_silent_point_is_not_repeated() -> None:
    stage = Stage(boiler({"on_change": True}))
    for _ in range(20):
        stage.say(t=1)
        stage.wait(1)
    published = len(stage.times_of("/t"))
    stage.wait(100)
    assert len(stage.times_of("/t")) <= published + 1


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just(10**5000)
)


@given(st.dictionaries(st.text(max_size=10), VALUES, max_size=10))
def test_any_fields_make_valid_json_and_clean_topics(fields: dict[str, Value]) -> None:
    device = boiler()
    for message in device.take(Measurement(NOON_MS, fields), 0).values:
        assert message.payload
        assert message.topic.count("/") == 2
    state = device.state(0)
    if state is not None:
        assert "time" in json.loads(state.payload)


SAYINGS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["t", "p", "q"]), st.integers(0, 3), min_size=1),
        st.floats(0, 20),
    ),
    max_size=30,
)
REPORTS = st.fixed_dictionaries(
    {},
    optional={
        "on_change": st.just(True),
        "every_s": st.sampled_from([0.5, 7.0]),
        "max_per_s": st.sampled_from([0.5, 10.0]),
    },
)


@given(REPORTS, SAYINGS)
def test_whatever_came_the_state_ends_with_the_newest_and_agrees_with_the_topics(
    report: dict[str, object], sayings: list[tuple[dict[str, Value], float]]
) -> None:
    stage = Stage(boiler(report))
    newest: dict[str, Value] = {}
    for fields, pause_s in sayings:
        stage.say(**fields)
        newest |= fields
        stage.wait(pause_s)
    stage.wait(200)  # a value that was heard once more may be repeated long after
    assert stage.device.due_s == math.inf
    if newest:
        state = stage.state
        assert {name: state[name] for name in newest} == newest
        for name, value in newest.items():
            assert stage.payloads_of(f"/{name}")[-1] == str(value).encode()
