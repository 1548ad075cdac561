"""Frames between a start and an end."""

import pytest
from pydantic import ValidationError

from tests.gateway.framers.streams import framer

STX_ETX: dict[str, object] = {"type": "start_end", "start": "hex:02", "end": "hex:03"}


def test_what_lies_between_frames_is_stray_and_counted_once_a_run() -> None:
    cutting, rejects = framer(STX_ETX)
    assert cutting.feed(b"x") == []
    assert cutting.feed(b"y\x02T=1\x03\r\n\x02T=2\x03") == [b"T=1", b"T=2"]
    assert rejects.counts == {"stray": 2}


def test_a_start_within_a_frame_begins_it_anew() -> None:
    cutting, rejects = framer(STX_ETX)
    assert cutting.feed(b"\x02T=\x02T=2\x03") == [b"T=2"]
    assert rejects.counts == {"partial": 1}
    assert rejects.last[0].content == b"\x02T="


def test_a_device_may_pause_within_a_frame() -> None:
    cutting, _ = framer(STX_ETX)
    cutting.feed(b"\x02T=")
    assert cutting.silence() == []
    assert cutting.feed(b"2\x03") == [b"T=2"]


def test_a_frame_without_end_is_too_long_and_the_next_one_is_found() -> None:
    cutting, rejects = framer({**STX_ETX, "max_bytes": 8})
    assert cutting.feed(b"\x02" + b"x" * 20 + b"\x02T=2\x03") == [b"T=2"]
    assert rejects.counts == {"too_long": 1, "stray": 1}
    assert cutting.feed(b"\x02123456789\x03\x0212345678\x03") == [b"12345678"]
    assert rejects.counts == {"too_long": 2, "stray": 1}


def test_an_escaped_end_is_content() -> None:
    cutting, rejects = framer({**STX_ETX, "escape": "hex:10"})
    assert cutting.feed(b"\x02a\x10\x03b\x10\x10\x10\x02\x03") == [b"a\x03b\x10\x02"]
    assert rejects.counts == {}


def test_a_checksum_behind_the_end_covers_the_end() -> None:
    cutting, rejects = framer({**STX_ETX, "covers_end": True, "checksum": {"name": "xor"}})
    assert cutting.feed(b"\x02AB\x03") == []
    assert cutting.feed(b"\x00") == [b"AB"]
    assert cutting.feed(b"\x02AB\x03\x01") == []
    assert rejects.counts == {"checksum": 1}


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"end": "hex:02"}, "must not begin with one another"),
        ({"start": "<", "end": "</"}, "must not begin with one another"),
        ({"escape": "hex:10 10"}, "escape must be a single byte"),
        ({"covers_end": True}, "give the checksum, too"),
    ],
)
def test_a_section_that_can_not_be_is_refused(keys: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        framer({**STX_ETX, **keys})
