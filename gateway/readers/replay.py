"""A recorded capture, read again at its own pace or faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal, TextIO

from pydantic import Field

from gateway.capture import MAX_LINE_CHARACTERS, Chunk, chunks
from gateway.errors import ReaderError
from gateway.readers.reader import READ_TIMEOUT_S
from gateway.section import Section

SHIPPED = Path(__file__).parent.parent / "captures" / "boiler.capture"
"""A small boiler on our test rig: key_value lines, a hundred seconds of them."""

REPEAT_PAUSE_S = 1.0
"""Between the last chunk and the first again, in the capture's own time."""

MAX_BATCH_BYTES = 64 * 1024
"""Most bytes that one read gives, however fast the capture is played."""


class ReplayConfig(Section):
    """`reader: {type: replay, speed: 10}`; without `file` it plays the recording we ship."""

    type: Literal["replay"]
    file: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        default=None, description="The capture file; the shipped recording where not given."
    )
    speed: Annotated[float, Field(gt=0, le=1000)] = Field(
        default=1.0, description="How many times faster than it was recorded."
    )
    repeat: bool = Field(
        default=True, description="Begin anew at its end, and don't go offline there."
    )


class ReplayPort:
    """A capture file as a port: chunks come when they are due, read line by line from the file.

    Where it repeats, `between` is put between the last chunk and the first. Where it doesn't,
    its end is like an unplugged device, and opening it again fails.
    """

    def __init__(
        self,
        file: Path,
        *,
        speed: float = 1.0,
        repeat: bool = True,
        between: bytes = b"\n",
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = file
        self._speed = speed
        self._repeat = repeat
        self._between = between
        self._monotonic = monotonic
        self._sleep = sleep
        self._file: TextIO | None = None
        self._chunks: Iterator[Chunk] = iter(())
        self._next: Chunk | None = None
        self._start = 0.0
        self._has_ended = False

    def open(self) -> None:
        if self._has_ended:
            raise ReaderError(f"{self._path} has been played to its end, and `repeat` is false")
        self._start = self._monotonic()
        self._rewind()

    def read(self, timeout_s: float = READ_TIMEOUT_S) -> bytes:
        """All chunks that are due, or the next one within `timeout_s`."""
        if self._file is None:
            raise ReaderError(f"{self._path} is not open")
        if self._next is None:
            self._has_ended = True
            raise ReaderError(f"{self._path} has been played to its end")
        wait_s = self._due_s(self._next) - self._monotonic()
        if wait_s > 0:
            self._sleep(min(wait_s, timeout_s))
        return self._all_due()

    def close(self) -> None:
        file, self._file, self._next = self._file, None, None
        if file is not None:
            file.close()

    def _due_s(self, chunk: Chunk) -> float:
        return self._start + chunk.at_s / self._speed

    def _all_due(self) -> bytes:
        now_s = self._monotonic()
        batch = bytearray()
        while self._next and self._due_s(self._next) <= now_s and len(batch) < MAX_BATCH_BYTES:
            played = self._next
            batch += played.content
            self._next = next(self._chunks, None)
            if self._next is None and self._repeat:
                self._begin_again(played.at_s)
                return (
                    bytes(batch) + self._between
                )  # a pass at most per read: any speed has a bound
        return bytes(batch)

    def _begin_again(self, last_at_s: float) -> None:
        pass_s = (last_at_s + REPEAT_PAUSE_S) / self._speed
        # After a suspended machine woke up, don't play all that it slept through.
        self._start = max(self._start + pass_s, self._monotonic() - pass_s)
        self._rewind()

    def _rewind(self) -> None:
        self.close()
        try:
            self._file = self._path.open(encoding="utf-8", errors="surrogateescape")
            self._chunks = chunks(_bounded_lines(self._file), str(self._path))
            self._next = next(self._chunks, None)
        except ReaderError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise ReaderError(f"{self._path} can't be read: {error.strerror}") from error
        if self._next is None:
            self.close()
            raise ReaderError(f"{self._path} holds no bytes to play")


def _bounded_lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(MAX_LINE_CHARACTERS + 1):
        yield line
