"""Frames that are apart by silence."""

from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.framers.streams import CUTS, framer, pieces

GAP: dict[str, object] = {"type": "idle_gap", "gap_ms": 20}


def test_what_comes_between_two_silences_is_a_frame() -> None:
    cutting, rejects = framer(GAP)
    assert cutting.pause_s == 0.02
    assert cutting.feed(b"half") == []
    assert cutting.silence() == []
    assert cutting.feed(b"T=") == cutting.feed(b"1") == []
    assert cutting.silence() == [b"T=1"]
    assert cutting.silence() == []
    assert rejects.counts == {"partial": 1}


def test_a_frame_that_is_too_long_or_does_not_add_up_is_counted() -> None:
    cutting, rejects = framer({**GAP, "max_bytes": 4, "checksum": {"name": "sum"}})
    cutting.silence()
    cutting.feed(b"12345")
    assert cutting.silence() == []
    cutting.feed(b"\x01\x02\x04")
    assert cutting.silence() == []
    cutting.feed(b"\x01\x02\x03")
    assert cutting.silence() == [b"\x01\x02"]
    assert rejects.counts == {"too_long": 1, "checksum": 1}


def test_a_restart_forgets_what_is_unfinished() -> None:
    cutting, _ = framer(GAP, joins_midway=False)
    cutting.feed(b"half")
    cutting.restart()
    cutting.feed(b"whole")
    assert cutting.silence() == [b"whole"]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=10), CUTS)
def test_frames_come_out_as_they_went_in(frames: list[bytes], cuts: list[int]) -> None:
    cutting, rejects = framer(GAP, joins_midway=False)
    found = []
    for frame in frames:
        for piece in pieces(frame, cuts):
            assert cutting.feed(piece) == []
        found += cutting.silence()
    assert found == frames
    assert rejects.counts == {}
