from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.history.number import (
    AHEAD_MS,
    EARLIEST_MS,
    MAX_JSON_BYTES,
    MOST,
    fields_of,
    json_of,
    moment_of,
    number_of,
    recordable,
)

NOW_MS = 1_795_000_000_000


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"21.5", 21.5),
        (b" -3 \n", -3.0),
        (b"+.5e3", 500.0),
        (b"true", 1.0),
        (b"false", 0.0),
        (b"True", None),
        (b"on", None),
        (b"open", None),
        (b"", None),
        (b"nan", None),
        (b"-inf", None),
        (b"1e400", None),
        (b"1e301", None),
        (b"1_000", None),
        (b"0x10", None),
        (b"21,5", None),
        (b"21.5 C", None),
        (b"\xff", None),
        (b'{"a":1}', None),
        (b"1" * 41, None),
    ],
)
def test_a_bare_payload_is_a_number_or_a_truth_or_nothing(
    payload: bytes, value: float | None
) -> None:
    assert number_of(payload) == value


@given(st.binary(max_size=60))
def test_any_payload_is_a_finite_number_or_nothing(payload: bytes) -> None:
    value = number_of(payload)
    assert value is None or (math.isfinite(value) and abs(value) <= MOST)


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (True, 1.0), (2.5, 2.5), ("2.5", None), (None, None), ([1], None), (10**400, None)],
)
def test_of_json_only_numbers_and_truths_are_recorded(value: object, number: float | None) -> None:
    assert recordable(value) == number


def test_a_field_with_a_dot_leads_into_an_object_unless_it_is_a_name_itself() -> None:
    said = {"a": {"b": {"c": 3}, "t": "x"}, "d.e": 5, "d": {"e": 6}, "n": None}
    fields = ["a.b.c", "a.t", "a.x", "d.e", "n", "n.x", "z"]
    assert fields_of(said, fields) == {"a.b.c": 3.0, "d.e": 5.0}


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 100_000, b"NaN"])
def test_what_is_no_json_holds_nothing(payload: bytes) -> None:
    assert json_of(payload) is None


def test_long_json_is_not_looked_into() -> None:
    room = MAX_JSON_BYTES - len(b'{"a":""}')
    assert json_of(b'{"a":"%b"}' % (b"x" * room)) == {"a": "x" * room}
    assert json_of(b'{"a":"%b"}' % (b"x" * (room + 1))) is None


@pytest.mark.parametrize(
    ("value", "time_ms"),
    [
        ("2026-11-21T08:15:30.250Z", 1_795_248_930_250),
        ("2026-11-21T08:15:30.250", 1_795_248_930_250),
        ("2026-11-21T09:15:30.250+01:00", 1_795_248_930_250),
        (1_795_248_930_250, 1_795_248_930_250),
        (1_795_248_930_250.4, 1_795_248_930_250),
        (EARLIEST_MS, EARLIEST_MS),
        (EARLIEST_MS - 1, None),
        ("1999-12-31T23:59:59Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        ([1], None),
        (math.inf, None),
        (10**400, None),
    ],
)
def test_a_time_is_iso_8601_or_ms(value: object, time_ms: int | None) -> None:
    assert moment_of(value, 1_795_300_000_000) == time_ms


def test_a_time_may_be_a_little_ahead_as_clocks_differ() -> None:
    assert moment_of(NOW_MS + AHEAD_MS, NOW_MS) == NOW_MS + AHEAD_MS
    assert moment_of(NOW_MS + AHEAD_MS + 1, NOW_MS) is None


@given(st.text(max_size=40) | st.floats() | st.integers() | st.booleans())
def test_any_time_is_one_that_can_be_or_none(value: object) -> None:
    time_ms = moment_of(value, NOW_MS)
    assert time_ms is None or EARLIEST_MS <= time_ms <= NOW_MS + AHEAD_MS


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_json_comes_back_as_it_was(value: object) -> None:
    assert json_of(json.dumps(value).encode()) == value
