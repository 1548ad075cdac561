from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.history.series import MAX_DEVICES, NOTHING, Naming, RecordedTopics, SeriesKey, Target

RECORDED = (
    RecordedTopics("plant/+/level"),
    RecordedTopics("zigbee/+", ("power", "battery.voltage")),
    RecordedTopics("zigbee/lamp", ("light",)),
    RecordedTopics("$SYS/#"),
)


def device_list(**ids: str) -> bytes:
    devices = [{"name": name, "id": identity, "reader": "x"} for name, identity in ids.items()]
    return json.dumps({"base": "fieldgate", "devices": devices}).encode()


def naming(**ids: str) -> Naming:
    found = Naming("fieldgate", RECORDED)
    if ids:
        assert found.learn(device_list(**ids))
    return found


@pytest.mark.parametrize(
    ("topic", "target"),
    [
        ("fieldgate/boiler/temperature", Target(SeriesKey("boiler", "temperature"))),
        ("fieldgate/heater/temperature", Target(SeriesKey("h1", "temperature"))),
        ("fieldgate/heater/backlog", Target(backlog_of="h1")),
        ("fieldgate/boiler", NOTHING),
        ("fieldgate/boiler/", NOTHING),
        ("fieldgate/boiler/availability", NOTHING),
        ("fieldgate/boiler/set", NOTHING),
        ("fieldgate/boiler/set/pump", NOTHING),
        ("fieldgate/boiler/get", NOTHING),
        ("fieldgate/boiler/result", NOTHING),
        ("fieldgate/bridge/health", NOTHING),
        ("fieldgate/bridge/backlog", NOTHING),
        ("fieldgate/bridge/devices", Target(is_device_list=True)),
        ("fieldgate//x", NOTHING),
        ("fieldgate", NOTHING),
        ("fieldgates/boiler/temperature", NOTHING),
        ("plant/a/level", Target(SeriesKey("", "plant/a/level"))),
        ("plant/a/b/level", NOTHING),
        ("$SYS/broker/load", Target(SeriesKey("", "$SYS/broker/load"))),
        (
            "zigbee/lamp",
            Target(
                fields={
                    field: SeriesKey("", "zigbee/lamp", field)
                    for field in ("power", "battery.voltage", "light")
                }
            ),
        ),
    ],
)
def test_what_becomes_of_a_topic(topic: str, target: Target) -> None:
    assert naming(heater="h1").target(topic) == target


@pytest.mark.parametrize(
    ("topic", "field", "key"),
    [
        ("fieldgate/heater/temperature", "", SeriesKey("h1", "temperature")),
        ("fieldgate/heater", "temperature", SeriesKey("h1", "temperature")),
        ("fieldgate/boiler/temperature", "", SeriesKey("boiler", "temperature")),
        ("fieldgate/h1/temperature", "", None),
        ("fieldgate/h1", "temperature", None),
        ("fieldgate/heater", "", SeriesKey("", "fieldgate/heater")),
        ("zigbee/lamp", "power", SeriesKey("", "zigbee/lamp", "power")),
        ("plant/a/level", "", SeriesKey("", "plant/a/level")),
    ],
)
def test_which_series_is_asked_for(topic: str, field: str, key: SeriesKey | None) -> None:
    assert naming(heater="h1").key(topic, field) == key


def test_a_renamed_device_keeps_its_series_and_its_old_name_has_none_of_it() -> None:
    found = naming(boiler="boiler")
    before = found.target("fieldgate/boiler/temperature").bare
    assert found.learn(device_list(heater="boiler"))
    assert found.target("fieldgate/heater/temperature").bare == before
    assert found.target("fieldgate/boiler/temperature") is NOTHING
    assert found.target("fieldgate/boiler/backlog") is NOTHING
    assert found.key("fieldgate/boiler/temperature", "") is None


def test_two_devices_may_swap_their_names() -> None:
    found = naming(a="one", b="two")
    assert found.learn(device_list(a="two", b="one"))
    assert found.key("fieldgate/a/x", "") == SeriesKey("two", "x")
    assert found.key("fieldgate/b/x", "") == SeriesKey("one", "x")


def test_a_list_tells_whether_it_is_another_than_before() -> None:
    found = naming(a="one")
    assert not found.learn(device_list(a="one"))
    assert found.learn(device_list(a="two"))
    assert found.learn(device_list())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"devices":{}}',
        b'{"devices":null}',
        b'{"devices":[1,{"name":1}]}',
    ],
)
def test_a_list_that_is_none_changes_nothing_or_names_nobody(payload: bytes) -> None:
    found = naming()
    assert not found.learn(payload)
    assert found.key("fieldgate/a/x", "") == SeriesKey("a", "x")


def test_a_list_is_bounded() -> None:
    found = naming()
    found.learn(device_list(**{f"d{n}": f"i{n}" for n in range(1200)}))
    assert found.key("fieldgate/d1199/x", "") == SeriesKey("i1199", "x")
    assert MAX_DEVICES >= 1200


@given(st.text(max_size=30))
def test_any_topic_has_a_series_of_its_own(topic: str) -> None:
    found = naming(heater="h1")
    target = found.target(topic)
    if target.bare is not None:
        assert found.key(topic, "") == target.bare
    for field, key in target.fields.items():
        assert found.key(topic, field) == key
