"""From what the hardware says to what a point means."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.measurement import Value
from gateway.points.config import PointConfig
from gateway.points.conversion import Conversion


def conversion(**keys: object) -> Conversion:
    return Conversion(PointConfig.model_validate(keys), Counter())


@pytest.mark.parametrize(
    ("keys", "raw", "value"),
    [
        ({}, "whatever", "whatever"),
        ({}, True, True),
        ({}, math.nan, None),
        ({}, "", None),
        ({"scale": 0.1}, 3, 0.3),
        ({"scale": 0.1, "offset": -40}, 615, 21.5),
        ({"scale": 10}, 25, 250),
        ({"scale": 2, "offset": 1}, 10**18 - 1, 2 * 10**18 - 1),
        ({"scale": 0.5}, 10**18, 5e17),
        ({"decimals": 1}, 21.46, 21.5),
        ({"decimals": 0}, 21.46, 21),
        ({"decimals": 2}, 7, 7),
        ({"type": "number"}, " 21.5 ", 21.5),
        ({"type": "number"}, True, 1),
        ({"type": "number"}, None, None),
        ({"unit": "°C"}, "-3", -3),
        ({"type": "boolean"}, "ON", True),
        ({"type": "boolean"}, 0, False),
        ({"type": "boolean"}, False, False),
        ({"type": "text"}, 5, "5"),
        ({"type": "text"}, True, "true"),
        ({"type": "text"}, " open ", "open"),
        ({"options": ["auto", "manual"]}, "manual", "manual"),
        ({"options": {"0": "auto", "1": "manual"}}, 1, "manual"),
        ({"options": {"true": "run", "false": "stop"}}, False, "stop"),
        ({"type": "event"}, "press", "press"),
        ({"type": "event"}, True, "press"),
        ({"type": "event"}, 1, "press"),
        ({"type": "event"}, 0, None),
        ({"type": "event", "options": ["single", "double"]}, "double", "double"),
        ({"type": "event", "options": ["single", "double"]}, "on", "single"),
        ({"type": "event", "options": {"1": "single", "2": "double"}}, 2, "double"),
        ({"type": "event", "options": {"1": "single", "2": "double"}}, 0, None),
    ],
)
def test_a_value_becomes_what_the_point_means(
    keys: dict[str, object], raw: Value, value: Value
) -> None:
    convert = conversion(**keys)
    converted = convert(raw)
    assert converted == value
    assert type(converted) is type(value)
    assert not convert.refused


@pytest.mark.parametrize(
    ("keys", "raw", "reason"),
    [
        ({"scale": 0.1, "invalid": [32767]}, 32767, "invalid"),
        ({"invalid": [85]}, 85.0, "invalid"),
        ({"invalid": ["ERR"]}, " ERR", "invalid"),
        ({"type": "number", "invalid": [32767]}, "32767", "invalid"),
        ({"type": "number"}, "ERR", "no_number"),
        ({"type": "boolean"}, "perhaps", "no_boolean"),
        ({"type": "boolean"}, 2, "no_boolean"),
        ({"options": ["auto", "manual"]}, "Manual", "no_option"),
        ({"type": "event"}, "double", "no_option"),
        ({"scale": 1e300}, 1e300, "too_large"),
        pytest.param({"scale": 0.5}, 10**400, "too_large", id="larger than a float"),
        pytest.param({"type": "text"}, 10**5000, "too_large", id="more digits than Python prints"),
    ],
)
def test_what_makes_no_sense_is_no_value_and_counted(
    keys: dict[str, object], raw: Value, reason: str
) -> None:
    convert = conversion(**keys)
    assert convert(raw) is None
    assert convert.refused == {reason: 1}


def test_an_invalid_number_is_no_truth_value() -> None:
    convert = conversion(type="boolean", invalid=[1])
    assert convert(True) is True
    assert convert(1) is None


SECTIONS = st.sampled_from(
    [
        {},
        {"type": "number", "invalid": [32767, "ERR"]},
        {"scale": 0.1, "offset": -40.0, "decimals": 2},
        {"scale": -3, "decimals": 0},
        {"type": "boolean"},
        {"type": "text"},
        {"options": ["a", "b"]},
        {"type": "event"},
    ]
)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just(10**5000)
)


@given(SECTIONS, VALUES)
def test_any_value_is_converted_or_no_value(keys: dict[str, object], raw: Value) -> None:
    value = conversion(**keys)(raw)
    assert not isinstance(value, float) or math.isfinite(value)
    kind = PointConfig.model_validate(keys).kind
    if kind == "number":
        assert value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    elif kind == "boolean":
        assert value is None or isinstance(value, bool)
    elif kind is not None:
        assert value is None or isinstance(value, str)


@given(st.integers(-(10**9), 10**9), st.integers(1, 6))
def test_a_decimal_scale_gives_the_decimals_that_a_person_expects(raw: int, places: int) -> None:
    value = conversion(scale=10**-places)(raw)
    assert value == float(f"{raw}e-{places}")
