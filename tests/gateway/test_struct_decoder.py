"""Binary frames: the decoder struct."""

import math
import struct
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.decoders import build
from gateway.decoders.struct import StructConfig
from gateway.errors import DecodeError
from gateway.measurement import Value


def decode(frame: bytes, **keys: object) -> Mapping[str, Value]:
    return build(StructConfig.model_validate({"type": "struct", **keys})).decode(frame)


def test_values_have_their_names_in_order_and_big_endian_is_the_default() -> None:
    frame = bytes.fromhex("00D7 01 41AC0000")
    fields = decode(frame, format="hBf", names=["temperature", "state", "voltage"])
    assert dict(fields) == {"temperature": 215, "state": 1, "voltage": 21.5}


def test_little_endian_is_a_key_and_blanks_are_allowed() -> None:
    frame = bytes.fromhex("D7FF 02")
    assert decode(frame, format="h ?", names=["t", "on"], byte_order="little") == {
        "t": -41,
        "on": True,
    }


def test_bytes_are_passed_over_and_an_empty_name_skips_a_value() -> None:
    frame = b"\xaa\x55\x00\x01\x02\x03"
    assert decode(frame, format="2x H 2B", names=["a", "", "b"]) == {"a": 1, "b": 3}


def test_text_ends_with_its_zeros() -> None:
    assert decode(b"v1.2\0\0\0\0x", format="8sc", names=["version", "mark"]) == {
        "version": "v1.2",
        "mark": "x",
    }
    assert decode(b"21\xb0", format="3s", names=["t"], encoding="latin-1") == {"t": "21°"}


def test_a_repeated_format_numbers_its_names() -> None:
    frame = bytes.fromhex("01 0010 02 0020")
    fields = decode(frame, format="Bh", names=["channel", "value"], repeated=True)
    assert fields == {"channel_1": 1, "value_1": 16, "channel_2": 2, "value_2": 32}


@pytest.mark.parametrize(
    ("frame", "keys", "why"),
    [
        (b"\1", {}, "has 1 bytes, not the 2 of the format"),
        (b"\1\2\3", {}, "has 3 bytes, not the 2 of the format"),
        (b"\1\2\3", {"repeated": True}, "has 3 bytes, no multiple of the format's 2"),
        (b"", {"repeated": True}, "has 0 bytes, no multiple"),
        (bytes(600), {"repeated": True}, "holds the format 300 times: more than 256 values"),
        (b"\xff\xff", {"format": "2s"}, "is no UTF-8 text"),
    ],
)
def test_a_frame_that_does_not_fit_says_why(
    frame: bytes, keys: dict[str, object], why: str
) -> None:
    with pytest.raises(DecodeError, match=why):
        decode(frame, **{"format": "h", "names": ["t"], **keys})


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"format": "<h"}, "format must hold x c b B .* the byte order is a key of its own"),
        ({"format": "P"}, "format must hold"),
        ({"format": "99999h"}, "format must hold"),
        ({"format": "2h"}, "format holds 2 values, and names 1"),
        ({"format": "4s"}, None),
        ({"format": "3x"}, "format holds 0 values, and names 1"),
        ({"format": "0s"}, "format takes no byte"),
        ({"names": [""]}, "names holds no name"),
        ({"format": "hh", "names": ["t", "t"]}, "names holds a name twice: t"),
    ],
)
def test_a_section_is_checked_before_any_frame_comes(
    keys: dict[str, object], why: str | None
) -> None:
    section = {"type": "struct", "format": "h", "names": ["t"], **keys}
    if why is None:
        StructConfig.model_validate(section)
        return
    with pytest.raises(ValidationError, match=why):
        StructConfig.model_validate(section)


NUMBERS = "bBhHiIlLqQefd?"


@given(st.text(NUMBERS, min_size=1, max_size=8), st.binary(max_size=64), st.booleans())
def test_any_bytes_are_values_or_an_error_that_says_why(
    form: str, frame: bytes, repeated: bool
) -> None:
    names = [f"v{number}" for number in range(len(form))]
    size = struct.calcsize(">" + form)
    times, rest = divmod(len(frame), size)
    if rest or not times or (times > 1 and not repeated):
        with pytest.raises(DecodeError, match=f"has {len(frame)} bytes"):
            decode(frame, format=form, names=names, repeated=repeated)
        return
    values = list(decode(frame, format=form, names=names, repeated=repeated).values())
    if "?" not in form and not any(isinstance(v, float) and math.isnan(v) for v in values):
        assert struct.pack(">" + form * times, *values) == frame
