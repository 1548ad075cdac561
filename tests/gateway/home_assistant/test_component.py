from __future__ import annotations

from typing import Any

import pytest

from gateway.home_assistant.component import Component, Place, component
from gateway.home_assistant.override import check_entity
from gateway.home_assistant.unit import class_of, spelled, state_class_of
from gateway.points.config import PointConfig

ENTITY = {
    "sensor": {
        *("state_topic", "unit_of_measurement", "device_class", "state_class"),
        *("expire_after", "options"),
    },
    "binary_sensor": {"state_topic", "device_class", "payload_on", "payload_off", "expire_after"},
    "switch": {"state_topic", "command_topic", "payload_on", "payload_off"},
    "number": {
        *("state_topic", "command_topic", "unit_of_measurement", "device_class"),
        *("min", "max", "step", "mode"),
    },
    "select": {"state_topic", "command_topic", "options"},
    "button": {"command_topic", "payload_press"},
    "light": {
        *("state_topic", "command_topic", "payload_on", "payload_off"),
        *("brightness_state_topic", "brightness_command_topic", "brightness_scale"),
    },
    "text": {"state_topic", "command_topic"},
    "event": {"state_topic", "event_types"},
}
"""Of the keys that each platform of Home Assistant knows, those that we use."""

COMMON = {"platform", "unique_id", "name", "default_entity_id"}


def entity(known: dict[str, Any], only: bool = False, **overrides: Any) -> Component:
    place = Place("base/boiler", "boiler", "Boiler", "value", "base_boiler_value", is_only=only)
    made = component(place, known, overrides, {"level": {"max": 100}})
    assert made.keys() >= COMMON
    assert set(made) - COMMON - overrides.keys() <= ENTITY[str(made["platform"])]
    assert str(made["default_entity_id"]).split(".")[0] == made["platform"]
    return made


@pytest.mark.parametrize(
    ("config", "platform"),
    [
        ({"type": "number"}, "sensor"),
        ({"type": "text"}, "sensor"),
        ({"options": ["auto", "manual"]}, "sensor"),
        ({"type": "boolean"}, "binary_sensor"),
        ({"type": "event"}, "event"),
        ({"type": "button", "write": "R"}, "button"),
        ({"type": "boolean", "write": "{value}"}, "switch"),
        ({"type": "number", "write": "{value}"}, "number"),
        ({"options": ["auto", "manual"], "write": "{value}"}, "select"),
        ({"type": "text", "write": "{value}"}, "text"),
        ({"write": "{value}"}, "text"),
        ({}, "sensor"),
    ],
)
def test_the_platform_follows_from_the_point(config: dict[str, Any], platform: str) -> None:
    known = PointConfig.model_validate(config).described()
    assert entity(known)["platform"] == platform


def test_a_number_is_a_sensor_with_class_and_state_class_by_its_unit() -> None:
    made = entity({"type": "number", "unit": "°C"})
    assert made["device_class"] == "temperature"
    assert made["state_class"] == "measurement"
    assert made["unit_of_measurement"] == "°C"


@pytest.mark.parametrize(
    ("device_class", "unit", "found"),
    [
        (None, "°C", "temperature"),
        (None, "kWh", "energy"),
        (None, "hPa", "pressure"),
        (None, "%", None),
        (None, "m³", None),
        (None, "bananas", None),
        (None, None, None),
        ("humidity", "%", "humidity"),
        ("temperature", "%", None),
        ("humidity", None, None),
        ("ph", None, "ph"),
        ("power_factor", None, "power_factor"),
        ("something_new", "x", "something_new"),
    ],
)
def test_a_class_that_the_unit_does_not_fit_is_left_out(
    device_class: str | None, unit: str | None, found: str | None
) -> None:
    assert class_of(device_class, unit) == found


@pytest.mark.parametrize(
    ("state_class", "device_class", "found"),
    [
        (None, None, "measurement"),
        (None, "energy", "total_increasing"),
        ("measurement", "energy", "total_increasing"),
        ("total", "energy", "total"),
        ("total_increasing", None, "total_increasing"),
        ("measurement", "timestamp", None),
    ],
)
def test_a_state_class_that_the_class_refuses_is_replaced(
    state_class: str | None, device_class: str | None, found: str | None
) -> None:
    assert state_class_of(state_class, device_class) == found


def test_units_are_spelled_as_home_assistant_does() -> None:
    assert [spelled(unit) for unit in ("µg/m³", "l/min", "degC", "V", None)] == [
        *("μg/m³", "L/min", "°C", "V", None)
    ]


def test_an_enum_has_options_and_neither_unit_nor_state_class() -> None:
    made = entity({"type": "enum", "options": ["auto", "manual"]})
    assert (made["device_class"], made["options"]) == ("enum", ["auto", "manual"])
    assert not made.keys() & {"unit_of_measurement", "state_class"}


def test_text_has_no_number_s_keys() -> None:
    assert not entity({"type": "text", "unit": "°C"}).keys() & {
        *("unit_of_measurement", "state_class", "device_class")
    }
    assert entity({"type": "text", "device_class": "timestamp"})["device_class"] == "timestamp"


@pytest.mark.parametrize("kind", ["number", "boolean"])
def test_what_is_silent_for_too_long_is_unavailable(kind: str) -> None:
    assert entity({"type": kind, "expire_after_s": 20.0})["expire_after"] == 20
    assert "expire_after" not in entity({"type": kind})
    assert "expire_after" not in entity({"type": kind, "writable": True, "expire_after_s": 20.0})


@pytest.mark.parametrize(
    ("bound", "span"),
    [
        ({"min": 5e6}, (5e6, 5e7)),
        ({"max": -5e6}, (-5e7, -5e6)),
        ({"min": 0}, (0, 1e6)),
        ({"max": 80}, (-1e6, 80)),
    ],
)
def test_a_bound_that_is_left_out_never_lies_beyond_the_other(
    bound: dict[str, float], span: tuple[float, float]
) -> None:
    made = entity({"type": "number", "writable": True, **bound})
    assert (made["min"], made["max"]) == span


def test_a_number_has_bounds_and_a_step_that_home_assistant_takes() -> None:
    bounded = {"min": 5, "max": 80, "step": 0.0001}
    made = entity({"type": "number", "writable": True, "unit": "°C", **bounded})
    assert (made["min"], made["max"], made["step"], made["mode"]) == (5.0, 80.0, 0.001, "slider")
    free = entity({"type": "number", "writable": True})
    assert isinstance(free["min"], float)
    assert isinstance(free["max"], float)
    assert free["min"] < 0 < free["max"]
    assert free["mode"] == "box"


def test_commands_go_to_the_point_s_own_topic() -> None:
    made = entity({"type": "boolean", "writable": True})
    assert made["command_topic"] == "base/boiler/set/value"
    assert made["state_topic"] == "base/boiler/value"
    assert (made["payload_on"], made["payload_off"]) == ("true", "false")


def test_an_event_names_its_types() -> None:
    assert entity({"type": "event"})["event_types"] == ["press"]
    assert entity({"type": "event", "options": ["short", "long"]})["event_types"] == [
        *("short", "long")
    ]


def test_a_light_has_its_brightness_from_another_point() -> None:
    made = entity({"type": "boolean", "writable": True}, platform="light", brightness="level")
    assert made["brightness_state_topic"] == "base/boiler/level"
    assert made["brightness_command_topic"] == "base/boiler/set/level"
    assert made["brightness_scale"] == 100
    other = entity({"type": "boolean", "writable": True}, platform="light", brightness="other")
    assert other["brightness_scale"] == 255
    assert "brightness" not in other


def test_an_override_replaces_a_key_and_null_takes_it_away() -> None:
    made = entity({"type": "number", "unit": "°C"}, device_class=None, icon="mdi:fire", name="X")
    assert "device_class" not in made
    assert (made["icon"], made["name"]) == ("mdi:fire", "X")


def test_a_sensor_is_never_of_the_category_config() -> None:
    assert "entity_category" not in entity({"type": "number"}, entity_category="config")
    made = entity({"type": "boolean", "writable": True}, entity_category="config")
    assert made["entity_category"] == "config"


@pytest.mark.parametrize(
    ("known", "only", "name"),
    [
        ({}, False, "Value"),
        ({"name": "Flow temperature"}, False, "Flow temperature"),
        ({"name": "Boiler temperature"}, False, "Temperature"),
        ({"name": "Boiler temperature"}, True, None),
    ],
)
def test_a_name_does_not_repeat_the_device_s(
    known: dict[str, Any], only: bool, name: str | None
) -> None:
    assert entity(known, only)["name"] == name


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("x", "must be a section"),
        ({1: 2}, "must be a section"),
        ({"unique_id": "x"}, "unique_id is ours"),
        ({"platform": "lamp"}, "platform must be one of sensor"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused(given: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_entity(given)


def test_false_leaves_a_point_out() -> None:
    assert check_entity(False) is None
    assert check_entity(None) == {}
