"""Captures: written, read back, and played like a port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.capture import Chunk, chunk_line, chunks, header_line
from gateway.decoders.key_value import KeyValueConfig
from gateway.decoders.struct import StructConfig
from gateway.errors import ReaderError
from gateway.framers.sized import FixedLengthConfig
from gateway.readers import Rejecting, build
from gateway.readers.replay import MAX_BATCH_BYTES, SHIPPED, ReplayConfig, ReplayPort
from tests.real_ends import wait_until


class Time:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def port_of(
    file: Path, time: Time, *, speed: float = 1.0, repeat: bool = True, lines: str | None = None
) -> ReplayPort:
    if lines is not None:
        file.write_text(header_line() + lines)
    return ReplayPort(file, speed=speed, repeat=repeat, monotonic=time.monotonic, sleep=time.sleep)


def timed(port: ReplayPort, time: Time) -> Iterator[tuple[float, bytes]]:
    """What a port says, and when, in seconds since the test began."""
    while True:
        if content := port.read():
            yield round(time.now_s - 100.0, 6), content


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "line.capture"


CHUNKS = st.lists(
    st.tuples(st.floats(min_value=0, max_value=1e6), st.binary() | st.text().map(str.encode))
)


@given(CHUNKS)
def test_what_is_written_is_read_back(pairs: list[tuple[float, bytes]]) -> None:
    written = [Chunk(round(at_s, 6), content) for at_s, content in sorted(pairs)]
    lines = [header_line("from a test"), *map(chunk_line, written)]
    assert list(chunks(lines, "line.capture")) == written


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("", r":1: is no capture: its first line must be \{\"capture\": 1\}"),
        ("\n\n", ":1: is no capture"),
        ("hello", ":1: the line is no JSON"),
        ("[" * 5000, ":1: the line is no JSON"),
        ("[1]", ":1: the line is no JSON object"),
        ('{"at": 1, "text": ""}', ":1: is no capture"),
        ('{"capture": 2}', ":1: is a capture of version 2, not 1"),
        ('{"capture": 1}\n\n{"at": 1', ":3: the line is no JSON"),
        ('{"capture": 1}\n{"at": "1", "text": ""}', ":2: `at` must be a number"),
        ('{"capture": 1}\n{"at": true, "text": ""}', ":2: `at` must be a number"),
        ('{"capture": 1}\n{"at": NaN, "text": ""}', ":2: `at` must not be negative or endless"),
        ('{"capture": 1}\n{"at": -1, "text": ""}', ":2: `at` must not be negative or endless"),
        ('{"capture": 1}\n{"at": 1}', ":2: must hold either `text` or `hex`"),
        ('{"capture": 1}\n{"at": 1, "text": "", "hex": ""}', ":2: must hold either"),
        ('{"capture": 1}\n{"at": 1, "hex": "f"}', ":2: `hex` must hold pairs"),
        ('{"capture": 1}\n{"at": 1, "text": "\\ud800"}', ":2: `text` holds what is no UTF-8"),
        (
            '{"capture": 1}\n{"at": 2, "text": ""}\n{"at": 1, "text": ""}',
            ":3: `at` goes back from 2.0 to 1.0",
        ),
    ],
)
def test_a_broken_capture_is_an_error_with_file_and_line(lines: str, reason: str) -> None:
    with pytest.raises(ReaderError, match=f"^line.capture{reason}"):
        list(chunks(lines.splitlines(keepends=True), "line.capture"))


@given(st.binary())
def test_any_bytes_as_a_capture_are_played_or_a_documented_error(content: bytes) -> None:
    text = content.decode(errors="surrogateescape")
    for lines in (text.splitlines(), [header_line(), *text.splitlines()]):
        try:
            list(chunks(lines, "line.capture"))
        except ReaderError as error:
            complaint = str(error)
        else:
            continue
        assert complaint.startswith("line.capture:")


def test_chunks_come_when_they_are_due_and_begin_anew_after_a_pause(file: Path) -> None:
    time = Time()
    lines = '{"at": 0.25, "text": "a\\n"}\n{"at": 2, "hex": "ff"}\n'
    port = port_of(file, time, lines=lines)
    port.open()
    said = timed(port, time)
    assert [next(said) for _ in range(4)] == [
        (0.25, b"a\n"),
        (2.0, b"\xff\n"),  # the line end between the last chunk and the first
        (3.25, b"a\n"),
        (5.0, b"\xff\n"),
    ]
    assert max(time.slept) <= 0.5
    port.close()


def test_at_ten_times_the_speed_it_takes_a_tenth_of_the_time(file: Path) -> None:
    time = Time()
    port = port_of(file, time, speed=10, lines='{"at": 1, "text": "a"}\n{"at": 9, "text": "b"}\n')
    port.open()
    said = timed(port, time)
    assert [next(said) for _ in range(3)] == [(0.1, b"a"), (0.9, b"b\n"), (1.1, b"a")]
    port.close()


def test_a_capture_that_does_not_repeat_ends_like_an_unplugged_line(file: Path) -> None:
    time = Time()
    port = port_of(file, time, repeat=False, lines='{"at": 1, "text": "a"}\n')
    port.open()
    assert next(timed(port, time)) == (1.0, b"a")
    with pytest.raises(ReaderError, match="has been played to its end"):
        port.read()
    port.close()
    with pytest.raises(ReaderError, match="`repeat` is false"):
        port.open()


def test_after_a_long_sleep_of_the_machine_nothing_is_made_up_for(file: Path) -> None:
    time = Time()
    port = port_of(file, time, lines='{"at": 0, "text": "a"}\n{"at": 9, "text": "b"}\n')
    port.open()
    assert port.read() == b"a"
    time.now_s += 1_000_000
    said = [port.read() for _ in range(10)]
    assert len([content for content in said if content]) <= 4
    port.close()


def test_a_huge_capture_without_time_comes_in_bounded_pieces(file: Path) -> None:
    time = Time()
    piece = chunk_line(Chunk(0, b"x" * 4096))
    port = port_of(file, time, lines=piece * 50)
    port.open()
    assert len(port.read()) <= MAX_BATCH_BYTES + 4096
    port.close()


def test_a_missing_an_empty_and_a_broken_file_are_sentences(tmp_path: Path, file: Path) -> None:
    time = Time()
    with pytest.raises(ReaderError, match=r"none\.capture can't be read: No such file"):
        port_of(tmp_path / "none.capture", time).open()
    with pytest.raises(ReaderError, match="holds no bytes to play"):
        port_of(file, time, lines="").open()
    file.write_bytes(b'{"capture": 1}\n{"at": 0, "text": "\xff"}\n')
    with pytest.raises(ReaderError, match=r"line\.capture:2: `text` holds what is no UTF-8"):
        port_of(file, time).open()
    file.write_text(header_line() + "x" * 100_000)
    with pytest.raises(ReaderError, match=r"line\.capture:2: the line is longer than"):
        port_of(file, time).open()


def test_a_port_that_is_not_open_can_not_be_read(file: Path) -> None:
    port = port_of(file, Time(), lines='{"at": 0, "text": "a"}\n')
    port.open()
    port.close()
    port.close()
    with pytest.raises(ReaderError, match="is not open"):
        port.read()


def test_the_shipped_recording_is_played_when_no_file_is_named() -> None:
    section = ReplayConfig.model_validate({"type": "replay", "speed": 1000})
    reader = build(section, KeyValueConfig(type="key_value"))
    reader.open()
    lines: list[object] = []

    def all_has_come() -> bool:
        lines.extend(one.fields for one in reader.read())
        return len(lines) >= 240  # two passes

    wait_until(all_has_come, "two passes")
    reader.close()
    assert lines[0] == {
        "temperature": 58.5,
        "return_temperature": 49.0,
        "pressure": 1.46,
        "pump": "on",
        "burner": "on",
    }
    assert lines[120] == lines[0]


def test_the_shipped_recording_says_where_it_comes_from() -> None:
    lines = SHIPPED.read_text().splitlines()
    assert "test rig" in lines[0]
    assert 100 <= list(chunks(lines, "boiler.capture"))[-1].at_s <= 130


def test_a_binary_capture_is_played_again_and_again_and_nothing_is_put_between(file: Path) -> None:
    file.write_text(header_line() + chunk_line(Chunk(0.0, b"\x00\x05\x00\x06")))
    reader = build(
        ReplayConfig(type="replay", file=str(file), speed=1000),
        StructConfig(type="struct", format="H", names=["t"]),
        framing=FixedLengthConfig(type="fixed_length", length=2),
    )
    reader.open()
    found: list[object] = []

    def has_come() -> bool:
        found.extend(one.fields["t"] for one in reader.read())
        return len(found) >= 6

    wait_until(has_come, "three passes")
    reader.close()
    assert found[:6] == [5, 6] * 3
    assert isinstance(reader, Rejecting)
    assert reader.rejected == {}
