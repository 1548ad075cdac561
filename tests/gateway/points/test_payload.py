"""Payloads of values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.measurement import Value
from gateway.points.payload import payload


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (True, b"true"),
        (False, b"false"),
        (21, b"21"),
        (21.5, b"21.5"),
        (0.1 + 0.2, b"0.30000000000000004"),
        ("open", b"open"),
        ("°", "°".encode()),
        (None, None),
        (math.nan, None),
        (-math.inf, None),
        ("", None),
        pytest.param(10**5000, None, id="more digits than Python prints"),
        ("\ud800", b"?"),
    ],
)
def test_a_value_is_published_bare_or_not_at_all(value: Value, content: bytes | None) -> None:
    assert payload(value) == content


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_can_be_read_back_from_its_payload(number: float) -> None:
    content = payload(number)
    assert content is not None
    assert type(number)(content) == number
