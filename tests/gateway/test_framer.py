"""Lines out of any stream, however it is cut."""

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.framer import LineFramer

STREAMS = st.lists(
    st.one_of(st.sampled_from([b"\n", b"\r", b"\r\n", b"T=21.5", b"x" * 40]), st.binary()),
    max_size=30,
).map(b"".join)


def pieces(stream: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted({cut % (len(stream) + 1) for cut in cuts}), len(stream)]
    return (stream[start:end] for start, end in pairwise(edges))


def reference(stream: bytes, max_bytes: int) -> list[bytes]:
    """What the docstring says, without any state: complete lines, neither empty nor too long."""
    lines = stream.replace(b"\r", b"\n").split(b"\n")[:-1]
    return [line for line in lines if 0 < len(line) <= max_bytes]


@given(STREAMS, st.lists(st.integers(min_value=0), max_size=20), st.booleans())
def test_the_same_stream_gives_the_same_frames_and_counts_however_it_is_cut(
    stream: bytes, cuts: list[int], joins_midway: bool
) -> None:
    whole = LineFramer(32, joins_midway=joins_midway)
    expected = whole.feed(stream)
    cut = LineFramer(32, joins_midway=joins_midway)
    assert [line for piece in pieces(stream, cuts) for line in cut.feed(piece)] == expected
    assert cut.dropped == whole.dropped


@given(STREAMS)
def test_a_stream_from_its_beginning_gives_all_its_lines(stream: bytes) -> None:
    assert LineFramer(32, joins_midway=False).feed(stream) == reference(stream, 32)


@given(STREAMS)
def test_a_stream_joined_midway_gives_all_but_what_comes_before_the_first_end(
    stream: bytes,
) -> None:
    normal = stream.replace(b"\r", b"\n")
    _, _, after = normal.partition(b"\n")
    assert LineFramer(32).feed(stream) == reference(after, 32)


def test_all_three_line_ends_end_a_line_and_empty_lines_are_none() -> None:
    framer = LineFramer(joins_midway=False)
    assert framer.feed(b"a\nb\r\nc\rd\r\n\n\r\re") == [b"a", b"b", b"c", b"d"]
    assert framer.feed(b"\r") == [b"e"]
    assert not framer.dropped


def test_half_a_line_after_opening_is_dropped_and_counted() -> None:
    framer = LineFramer()
    assert framer.feed(b"1.5 P=3\r") == []
    assert framer.feed(b"\nT=21.5\r\n") == [b"T=21.5"]
    assert framer.dropped == {"partial_line": 1}


def test_after_a_silence_the_first_line_is_whole() -> None:
    framer = LineFramer()
    framer.silence()
    assert framer.feed(b"T=21.5\n") == [b"T=21.5"]
    assert not framer.dropped


def test_a_silence_within_the_first_line_makes_it_no_whole_one() -> None:
    framer = LineFramer()
    framer.feed(b"2")
    framer.silence()
    assert framer.feed(b"1.5\nT=3\n") == [b"T=3"]
    framer.feed(b"T=")
    framer.silence()
    assert framer.feed(b"4\n") == [b"T=4"]


def test_joining_exactly_between_two_lines_drops_nothing() -> None:
    framer = LineFramer()
    assert framer.feed(b"\nT=21.5\n") == [b"T=21.5"]
    assert not framer.dropped


def test_a_line_of_just_the_bound_is_a_frame_and_one_byte_more_is_not() -> None:
    framer = LineFramer(4, joins_midway=False)
    assert framer.feed(b"1234\n12345\nok\n") == [b"1234", b"ok"]
    assert framer.dropped == {"long_line": 1}


def test_endless_junk_is_one_long_line_and_the_next_line_is_whole() -> None:
    framer = LineFramer(64, joins_midway=False)
    for _ in range(1000):
        assert framer.feed(b"\xff" * 100) == []
    assert framer.feed(b"\nT=1\n") == [b"T=1"]
    assert framer.dropped == {"long_line": 1}


def test_after_a_restart_the_unfinished_line_is_forgotten_and_the_counts_stay() -> None:
    framer = LineFramer()
    framer.feed(b"x\nT=2")
    framer.restart()
    assert framer.feed(b"1.5\nT=3\n") == [b"T=3"]
    assert framer.dropped == {"partial_line": 2}
