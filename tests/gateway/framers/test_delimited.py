"""Frames that end with a delimiter, lines above all."""

from hypothesis import given

from gateway.framers import Rejects
from gateway.framers.delimited import DelimitedFramer
from tests.gateway.framers.streams import STREAMS


def lines(max_bytes: int = 4096, *, joins_midway: bool = True) -> tuple[DelimitedFramer, Rejects]:
    rejects = Rejects()
    return DelimitedFramer(rejects, max_bytes=max_bytes, joins_midway=joins_midway), rejects


def reference(stream: bytes, max_bytes: int) -> list[bytes]:
    """What the docstring says, without any state: complete lines, neither empty nor too long."""
    found = stream.replace(b"\r", b"\n").split(b"\n")[:-1]
    return [line for line in found if 0 < len(line) <= max_bytes]


@given(STREAMS)
def test_a_stream_from_its_beginning_gives_all_its_lines(stream: bytes) -> None:
    framer, _ = lines(32, joins_midway=False)
    assert framer.feed(stream) == reference(stream, 32)


@given(STREAMS)
def test_a_stream_joined_midway_gives_all_but_what_comes_before_the_first_end(
    stream: bytes,
) -> None:
    framer, _ = lines(32)
    normal = stream.replace(b"\r", b"\n")
    _, _, after = normal.partition(b"\n")
    assert framer.feed(stream) == reference(after, 32)


def test_all_three_line_ends_end_a_line_and_empty_lines_are_none() -> None:
    framer, rejects = lines(joins_midway=False)
    assert framer.feed(b"a\nb\r\nc\rd\r\n\n\r\re") == [b"a", b"b", b"c", b"d"]
    assert framer.feed(b"\r") == [b"e"]
    assert not rejects.counts


def test_half_a_line_after_opening_is_dropped_and_counted() -> None:
    framer, rejects = lines()
    assert framer.feed(b"1.5 P=3\r") == []
    assert framer.feed(b"\nT=21.5\r\n") == [b"T=21.5"]
    assert rejects.counts == {"partial": 1}


def test_after_a_silence_the_first_line_is_whole() -> None:
    framer, rejects = lines()
    framer.silence()
    assert framer.feed(b"T=21.5\n") == [b"T=21.5"]
    assert not rejects.counts


def test_a_silence_within_the_first_line_makes_it_no_whole_one() -> None:
    framer, _ = lines()
    framer.feed(b"2")
    framer.silence()
    assert framer.feed(b"1.5\nT=3\n") == [b"T=3"]
    framer.feed(b"T=")
    framer.silence()
    assert framer.feed(b"4\n") == [b"T=4"]


def test_joining_exactly_between_two_lines_drops_nothing() -> None:
    framer, rejects = lines()
    assert framer.feed(b"\nT=21.5\n") == [b"T=21.5"]
    assert not rejects.counts


def test_a_line_of_just_the_bound_is_a_frame_and_one_byte_more_is_not() -> None:
    framer, rejects = lines(4, joins_midway=False)
    assert framer.feed(b"1234\n12345\nok\n") == [b"1234", b"ok"]
    assert rejects.counts == {"too_long": 1}


def test_endless_junk_is_one_too_long_and_the_next_line_is_whole() -> None:
    framer, rejects = lines(64, joins_midway=False)
    for _ in range(1000):
        assert framer.feed(b"\xff" * 100) == []
    assert framer.feed(b"\nT=1\n") == [b"T=1"]
    assert rejects.counts == {"too_long": 1}


def test_after_a_restart_the_unfinished_line_is_forgotten_and_the_counts_stay() -> None:
    framer, rejects = lines()
    framer.feed(b"x\nT=2")
    framer.restart()
    assert framer.feed(b"1.5\nT=3\n") == [b"T=3"]
    assert rejects.counts == {"partial": 2}


def test_a_delimiter_of_several_bytes_may_come_in_parts() -> None:
    framer = DelimitedFramer(Rejects(), delimiter=b"OK>", joins_midway=False)
    assert framer.feed(b"T=1O") == []
    assert framer.feed(b"K") == []
    assert framer.feed(b">T=2OOK>") == [b"T=1", b"T=2O"]


def test_the_last_bad_frames_are_kept_with_their_time_and_cut() -> None:
    framer, rejects = lines(200, joins_midway=False)
    for second in range(10):
        rejects.time_ms = second * 1_000
        framer.feed(bytes([65 + second]) * 300 + b"\n")
    assert rejects.counts == {"too_long": 10}
    assert [(bad.time_ms, bad.reason, bad.content[:1]) for bad in rejects.last] == [
        (second * 1_000, "too_long", bytes([65 + second])) for second in range(5, 10)
    ]
    assert all(len(bad.content) == 64 for bad in rejects.last)
