from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands.wish import RefusedError, Wish, judged, requested
from gateway.measurement import Value
from gateway.points.config import PointConfig
from gateway.points.conversion import Conversion
from gateway.readers import Content


def point(**keys: Any) -> PointConfig:
    return PointConfig.model_validate({"write": "X {value}\n", **keys})


def test_one_message_may_wish_for_several_points() -> None:
    request = requested(None, b'{"pump":true,"level":21.5,"transaction":"abc"}')
    assert request.transaction == "abc"
    assert request.wishes == (Wish("pump", True), Wish("level", 21.5))


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"true", True),
        (b"21.5", 21.5),
        (b"-3", -3),
        (b"open", "open"),
        (b'"open"', '"open"'),
        (b"null", "null"),
        (b"", ""),
        ("21 °C".encode(), "21 °C"),
        (b"1e999", "1e999"),
        (b"NaN", "NaN"),
    ],
)
def test_a_point_of_its_own_topic_takes_the_bare_value(payload: bytes, value: object) -> None:
    (wish,) = requested("p", payload).wishes
    assert wish == Wish("p", value, bare=payload.decode())


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\xff", "no UTF-8"),
        (b"x" * 16_385, "16385 bytes; at most 16384"),
        (b"true", "no JSON object"),
        (b"[1]", "no JSON object"),
        (b"{}", "names no point"),
        (b'{"transaction":"a"}', "names no point"),
        (b'{"p":1,"transaction":[1]}', "neither text nor a whole number"),
        (b'{"p":1,"transaction":true}', "neither text nor a whole number"),
        (b'{"p":1,"transaction":"' + b"x" * 129 + b'"}', "longer than 128 characters"),
        (b"[" * 10_000, "no JSON object"),
        (b'{"p":NaN}', "no JSON object"),
        (b'{"p":1e999}', "no JSON object"),
        (json.dumps(dict.fromkeys(map(str, range(33)), 1)).encode(), "33 points; at most 32"),
    ],
)
def test_a_payload_that_is_no_request_is_refused_in_words(payload: bytes, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        requested(None, payload)


def test_a_transaction_may_be_a_number() -> None:
    assert requested(None, b'{"p":1,"transaction":7}').transaction == "7"


@pytest.mark.parametrize(
    ("keys", "given", "value", "content"),
    [
        ({"type": "boolean"}, True, True, b"X 1\n"),
        ({"type": "boolean"}, "OFF", False, b"X 0\n"),
        ({"type": "boolean"}, 1, True, b"X 1\n"),
        ({"unit": "°C"}, 21, 21, b"X 21\n"),
        ({"unit": "°C"}, " 21.5 ", 21.5, b"X 21.5\n"),
        ({"unit": "°C", "decimals": 1}, 21.04, 21.0, b"X 21\n"),
        ({"unit": "°C", "decimals": 0}, 21.4, 21, b"X 21\n"),
        ({"unit": "°C", "scale": 0.1, "offset": -40}, 21.5, 21.5, b"X 615\n"),
        ({"unit": "°C", "write": "T{value:06.2f}"}, 21.5, 21.5, b"T021.50"),
        ({"options": {"0": "auto", "1": "manual"}}, "manual", "manual", b"X 1\n"),
        ({"options": ["auto", "manual"]}, "manual", "manual", b"X manual\n"),
        ({"type": "boolean", "write": {True: "ON\n", False: "OFF\n"}}, "on", True, b"ON\n"),
        ({"options": ["a", "b"], "write": {"a": "1", "b": "2"}}, "b", "b", b"2"),
        ({"type": "button", "write": "RESET\n"}, {"any": 1}, "press", b"RESET\n"),
        ({"type": "text"}, "Grüße", "Grüße", "X Grüße\n".encode()),
        ({"type": "text"}, 5, "5", b"X 5\n"),
        ({"options": ["1", "2"]}, 2, "2", b"X 2\n"),
        ({"unit": "V", "write": {"1": "LOW\n", "2": "HIGH\n"}}, 2.0, 2.0, b"HIGH\n"),
        ({}, "open", "open", b"X open\n"),
        ({}, False, False, b"X 0\n"),
        ({}, 2.5, 2.5, b"X 2.5\n"),
        ({"write": True, "scale": 0.5}, 3, 3, 6),
        ({"write": True, "options": {"0": "auto", "1": "manual"}}, "manual", "manual", 1),
        ({"write": "{{{value}}}"}, 1, 1, b"{1}"),
    ],
)
def test_a_wish_that_fits_becomes_what_the_reader_writes(
    keys: dict[str, Any], given: object, value: Value, content: Content
) -> None:
    assert judged(point(**keys), Wish("p", given)) == (value, content)


@pytest.mark.parametrize(
    ("keys", "given", "why"),
    [
        ({"type": "boolean"}, "maybe", "maybe is neither true nor false"),
        ({"type": "boolean"}, [True], "neither true nor false"),
        ({"unit": "°C"}, "warm", "warm is no number"),
        ({"unit": "°C"}, True, "true is no number"),
        ({"unit": "°C"}, None, "null is no number"),
        ({"unit": "°C"}, 10**400, "is no number"),
        ({"unit": "°C", "min": 5}, 4.9, "4.9 is less than 5"),
        ({"unit": "°C", "max": 80}, 80.1, "80.1 is more than 80"),
        ({"unit": "°C", "scale": 1e-300}, 1e300, "too large"),
        ({"options": ["auto", "manual"]}, "off", "off is none of auto, manual"),
        ({"options": ["auto", "manual"]}, 1, "1 is none of"),
        ({"type": "text"}, "a\nRESET", "control characters"),
        ({"type": "text"}, "", "1 to 1000 characters"),
        ({"type": "text"}, None, "null is no value"),
        ({"type": "text"}, {"a": 1}, '{"a": 1} is no value'),
        ({"options": ["auto", "manual"]}, ["auto"], "is no value"),
        ({"unit": "°C", "max": 21.55, "decimals": 1}, 21.55, "21.6 is more than 21.55"),
        ({"unit": "°C", "min": 0.05, "decimals": 1}, 0.02, "0.02 is less than 0.05"),
        ({}, "a\x7f", "control characters"),
        ({}, None, "null is no value"),
        ({}, {"a": 1}, "is no value"),
        ({}, "x" * 1_001, "1 to 1000 characters"),
        ({"type": "text", "write": {"a": "1"}}, "b", "the config has nothing to write for b"),
        ({"type": "text"}, "\ud800", "surrogates"),
    ],
)
def test_a_wish_that_does_not_fit_is_refused_in_words(
    keys: dict[str, Any], given: object, why: str
) -> None:
    with pytest.raises(RefusedError, match=why):
        judged(point(**keys), Wish("p", given))


@pytest.mark.parametrize(
    ("keys", "payload", "value"),
    [
        ({"type": "text"}, "1.50", "1.50"),
        ({"type": "text"}, "1e3", "1e3"),
        ({"type": "text"}, "true", "true"),
        ({"options": ["1", "2"]}, "2", "2"),
        ({"options": ["true", "auto"]}, "true", "true"),
        ({"unit": "°C"}, "21.5", 21.5),
        ({"type": "boolean"}, "1", True),
        ({}, "1.50", 1.5),
    ],
)
def test_a_bare_value_means_what_the_type_of_its_point_says(
    keys: dict[str, Any], payload: str, value: Value
) -> None:
    (wish,) = requested("p", payload.encode()).wishes
    assert judged(point(**keys), wish)[0] == value


def test_a_point_that_the_config_does_not_make_writable_is_not() -> None:
    for config in (None, PointConfig(unit="°C")):
        with pytest.raises(RefusedError, match="p can't be written: its config says no `write`"):
            judged(config, Wish("p", 1))


@given(st.binary(max_size=200), st.sampled_from([None, "p"]))
def test_whatever_is_said_is_a_wish_or_refused(payload: bytes, name: str | None) -> None:
    with suppress(RefusedError):
        for wish in requested(name, payload).wishes:
            value, content = judged(point(), wish)
            assert value is not None
            assert isinstance(content, bytes)


@given(
    st.integers(-(10**6), 10**6),
    st.sampled_from([1, 0.1, 0.5, 2, -1, 0.001]),
    st.sampled_from([0, -40, 0.5, 273]),
)
def test_the_way_to_the_hardware_is_the_way_back(raw: int, scale: float, offset: float) -> None:
    way = Conversion(point(scale=scale, offset=offset))
    there = way(raw)
    assert way(way.raw(there)) == there
