"""Names of points."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.measurement import Value
from gateway.points.names import MAX_UNLISTED_POINTS, PointNames, slug

ANY_TEXT = st.text(st.characters())


@pytest.mark.parametrize(
    ("field", "point"),
    [
        ("temperature", "temperature"),
        ("Flow Temperature", "flow_temperature"),
        ("pump.on", "pump_on"),
        ("  T (°C) ", "t_c"),
        ("__x__y", "x_y"),
        ("a-b", "a-b"),
        ("a/b#+", "a_b"),
        ("28FF64", "28ff64"),
        ("time", "time_value"),
        ("Set", "set_value"),
        ("°", ""),
        ("", ""),
        ("x" * 100, "x" * 64),
    ],
)
def test_a_field_gives_the_slug_that_people_expect(field: str, point: str) -> None:
    assert slug(field) == point


@given(ANY_TEXT)
def test_every_slug_is_empty_or_a_topic_level_of_the_contract(field: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{0,64}", slug(field))
    assert slug(field) not in {"set", "get", "time", "availability", "result", "stale"}


@given(ANY_TEXT)
def test_a_slug_is_its_own_slug(field: str) -> None:
    assert slug(slug(field)) == slug(field)


def test_a_measurement_becomes_points_in_its_own_order() -> None:
    names = PointNames()
    for _ in range(2):  # the second time from the cache
        points = names.of({"Pump on": True, "T": 21.5, "time": 5})
        assert list(points.items()) == [("pump_on", True), ("t", 21.5), ("time_value", 5)]


def test_of_two_fields_with_one_point_the_later_wins() -> None:
    assert PointNames().of({"T": 1, "t": 2}) == {"t": 2}


def test_a_listed_point_takes_the_field_of_that_very_name_or_slug() -> None:
    names = PointNames(["a__b", "flow"], only_listed=True)
    assert names.of({"a__b": 1, "Flow": 2, "other": 3}) == {"a__b": 1, "flow": 2}
    assert names.dropped == {"not_listed": 1}


def test_beyond_the_bound_unlisted_points_are_dropped_but_listed_ones_never() -> None:
    names = PointNames(["late"])
    assert len(names.of({f"f{number}": 0 for number in range(100)})) == MAX_UNLISTED_POINTS
    assert names.of({"f0": 1, "f99": 1, "late": 1}) == {"f0": 1, "late": 1}
    assert names.dropped == {"too_many_points": 100 - MAX_UNLISTED_POINTS + 1}
    assert len(names.unlisted) == MAX_UNLISTED_POINTS


def test_a_field_without_a_name_is_dropped_and_counted() -> None:
    names = PointNames()
    assert names.of({"": 1, "°": 2, "t": 3}) == {"t": 3}
    assert names.dropped == {"no_name": 2}


@given(st.lists(st.dictionaries(ANY_TEXT, st.just(1)), max_size=20))
def test_no_device_gets_more_than_the_bound_of_unlisted_points(
    measurements: list[dict[str, Value]],
) -> None:
    names = PointNames()
    seen: set[str] = set()
    for fields in measurements:
        seen |= names.of(fields).keys()
    assert len(seen) <= MAX_UNLISTED_POINTS
