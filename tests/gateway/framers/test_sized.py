"""Frames of a known size."""

import pytest
from pydantic import ValidationError

from tests.gateway.framers.streams import crc32, framer

FIXED: dict[str, object] = {"type": "fixed_length", "length": 4}
MARKED: dict[str, object] = {**FIXED, "start": "hex:AA 55"}
FIELD: dict[str, object] = {"type": "length_field", "start": "hex:68", "offset": 1, "adds": 2}


def test_garbage_before_a_start_is_counted_once_a_run() -> None:
    cutting, rejects = framer(MARKED)
    assert cutting.feed(b"junk\xaa") == []
    assert cutting.feed(b"more\xaa\x55\x01\x02\xaa\x55\x03\x04") == [
        b"\xaa\x55\x01\x02",
        b"\xaa\x55\x03\x04",
    ]
    assert rejects.counts == {"stray": 1}
    assert rejects.last[0].content == b"junk"


def test_a_start_within_garbage_costs_no_true_frame_where_a_checksum_tells() -> None:
    cutting, rejects = framer({**FIELD, "adds": 6, "checksum": {"name": "crc-32"}})
    frame = b"\x68\x03abc"
    frame += crc32(frame)[::-1]
    assert cutting.feed(b"\x68\x05" + frame + frame) == [b"\x68\x03abc"] * 2
    assert rejects.counts == {"checksum": 1}


def test_the_bytes_of_a_bad_frame_are_counted_once_however_often_they_are_tried() -> None:
    cutting, rejects = framer({**FIELD, "adds": 6, "checksum": {"name": "crc-32"}})
    good = b"\x68\x03abc"
    good += crc32(good)[::-1]
    bad = b"\x68\x08\x68\x03\x68\x02\x68\x01\x68\x00" + bytes(4)
    assert cutting.feed(bad + good) == [b"\x68\x03abc"]
    assert rejects.counts == {"checksum": 1}


def test_a_size_that_can_not_be_is_counted_and_passed_over() -> None:
    cutting, rejects = framer({**FIELD, "max_bytes": 32})
    assert cutting.feed(b"\x68\xff\x68\x02ab") == [b"\x68\x02ab"]
    assert rejects.counts == {"length": 1}


def test_a_size_may_count_more_than_the_frame_has() -> None:
    cutting, _ = framer({"type": "length_field", "size": 2, "adds": -2}, joins_midway=False)
    assert cutting.feed(b"\x00\x06ab\x00\x05x") == [b"\x00\x06ab"[:4], b"\x00\x05x"[:3]]


def test_what_a_pause_leaves_unfinished_is_no_frame_and_hides_none() -> None:
    cutting, rejects = framer(FIELD)
    assert cutting.feed(b"\x68\x20\x68\x02ab") == []
    assert cutting.silence() == [b"\x68\x02ab"]
    assert rejects.counts == {"partial": 1}
    assert cutting.silence() == []


def test_frames_that_nothing_marks_begin_after_a_pause() -> None:
    cutting, rejects = framer(FIXED)
    assert cutting.feed(b"3412341234") == []
    assert cutting.silence() == []
    assert cutting.feed(b"12") == []
    assert cutting.feed(b"345678") == [b"1234", b"5678"]
    assert cutting.feed(b"9") == []
    assert cutting.silence() == []
    assert cutting.feed(b"abcd") == [b"abcd"]
    assert rejects.counts == {"partial": 1}


def test_a_size_that_can_not_be_has_an_unmarked_stream_wait_for_a_pause() -> None:
    cutting, rejects = framer(
        {"type": "length_field", "adds": 1, "max_bytes": 8}, joins_midway=False
    )
    assert cutting.feed(b"\x02ab\xffxxxxx\x02cd") == [b"\x02ab"]
    cutting.silence()
    assert cutting.feed(b"\x02ef") == [b"\x02ef"]
    assert rejects.counts == {"length": 1}


def test_a_restart_begins_anew() -> None:
    cutting, rejects = framer(MARKED)
    cutting.feed(b"\xaa\x55\x01")
    cutting.restart()
    assert cutting.feed(b"\xaa\x55\x01\x02") == [b"\xaa\x55\x01\x02"]
    assert rejects.counts == {}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({**FIXED, "length": 5000}, "length 5000 is more than max_bytes 4096"),
        ({**FIXED, "length": 1, "start": "hex:AA 55"}, "length 1 is less than start has"),
        ({**FIELD, "offset": 0}, "the field can't be within start"),
        ({**FIXED, "start": "hex:A"}, "must hold pairs of hexadecimal digits"),
        ({**FIXED, "start": "hex:"}, "holds no byte"),
        ({**FIXED, "start": "°"}, "is no ASCII: write the bytes as in hex:AA 55"),
    ],
)
def test_a_section_that_can_not_be_is_refused(config: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        framer(config)
