"""A device's state as MQTT messages."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from broker.link import Message, QoS
from gateway.device import Device, iso_time
from gateway.measurement import Measurement, Value
from gateway.points.names import PointNames

NOON_MS = 1_795_262_400_000


def boiler(**listed: dict[str, object]) -> Device:
    return Device(
        "fieldgate/boiler",
        PointNames(listed),
        description={"name": "boiler"},
        points=listed,
        describe=lambda point: {"unit": "%"} if point.endswith("_percent") else {},
    )


def topics(messages: list[Message]) -> dict[str, bytes]:
    return {message.topic: message.payload for message in messages}


def test_each_point_has_its_topic_and_the_state_has_them_all() -> None:
    device = boiler()
    messages = list(device.take(Measurement(NOON_MS, {"T": 21.5, "Pump on": True})))
    assert topics(messages) == {"fieldgate/boiler/t": b"21.5", "fieldgate/boiler/pump_on": b"true"}
    assert all(one.retain and one.qos is QoS.AT_MOST_ONCE for one in messages)

    list(device.take(Measurement(NOON_MS + 250, {"T": 22})))
    state = device.state()
    assert state is not None
    assert state.topic == "fieldgate/boiler"
    assert state.retain
    assert state.qos is QoS.AT_LEAST_ONCE
    assert json.loads(state.payload) == {
        "t": 22,
        "pump_on": True,
        "time": "2026-11-21T12:00:00.250Z",
    }


def test_no_value_is_null_in_the_state_and_nothing_on_the_topic() -> None:
    device = boiler()
    messages = list(device.take(Measurement(NOON_MS, {"t": math.nan, "p": math.inf, "q": None})))
    assert messages == []
    state = device.state()
    assert state is not None
    assert json.loads(state.payload) == {"t": None, "p": None, "q": None, "time": iso_time(NOON_MS)}


def test_a_device_that_said_nothing_has_only_its_availability() -> None:
    device = boiler()
    assert topics(list(device.retained())) == {
        "fieldgate/boiler/availability": b'{"state":"offline"}'
    }


def test_everything_is_said_again_for_a_broker_that_forgot() -> None:
    device = boiler()
    device.is_online = True
    list(device.take(Measurement(NOON_MS, {"t": 1})))
    assert topics(list(device.retained())) == {
        "fieldgate/boiler/availability": b'{"state":"online"}',
        "fieldgate/boiler/t": b"1",
        "fieldgate/boiler": b'{"t":1,"time":"2026-11-21T12:00:00.000Z"}',
    }


def test_the_description_has_listed_and_seen_points_and_what_the_reader_knows() -> None:
    device = boiler(temperature={"unit": "°C"}, cpu_percent={"name": "CPU"})
    list(device.take(Measurement(NOON_MS, {"pressure": 1, "memory_percent": 2})))
    assert device.description() == {
        "name": "boiler",
        "points": {
            "temperature": {"unit": "°C"},
            "cpu_percent": {"unit": "%", "name": "CPU"},
            "pressure": {},
            "memory_percent": {"unit": "%"},
        },
    }


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just(10**5000)
)


@given(st.dictionaries(st.text(max_size=10), VALUES, max_size=10))
def test_any_fields_make_valid_json_and_clean_topics(fields: dict[str, Value]) -> None:
    device = boiler()
    for message in device.take(Measurement(NOON_MS, fields)):
        assert message.payload
        assert message.topic.count("/") == 2
    state = device.state()
    assert state is not None
    assert "time" in json.loads(state.payload)
