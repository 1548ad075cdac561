"""Frames between a start and an end, with or without an escape: STX … ETX, DLE, HDLC-like. Pure."""

from __future__ import annotations

import re
from itertools import permutations
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.byte_text import ByteText, bytes_of
from gateway.framers.checksum import Checksum
from gateway.framers.framer import MAX_FRAME_BYTES, PAUSE_S, Ledger, Rejects, length_before
from gateway.framers.section import FramingSection


class StartEndConfig(FramingSection):
    """`framing: {type: start_end, start: "hex:02", end: "hex:03"}`"""

    type: Literal["start_end"]
    start: ByteText = Field(
        description="What a frame begins with: text, or bytes as in hex:02.", examples=["hex:02"]
    )
    end: ByteText = Field(
        description="What a frame ends with: text, or bytes as in hex:03.", examples=["hex:03"]
    )
    covers_end: bool = Field(
        default=False, description="The checksum stands behind the end and covers it, too."
    )
    escape: ByteText | None = Field(
        default=None, description="The byte behind which any byte is content, as in hex:10."
    )
    escape_xor: Annotated[int, Field(ge=0, le=255)] = Field(
        default=0, description="What an escaped byte is XORed with: 32 in HDLC."
    )

    @model_validator(mode="after")
    def _marks_can_be_told_apart(self) -> StartEndConfig:
        marks = [bytes_of(mark) for mark in (self.start, self.end, self.escape) if mark is not None]
        if self.escape is not None and len(marks[2]) != 1:
            raise ValueError("escape must be a single byte, as in hex:10")
        if any(one.startswith(other) for one, other in permutations(marks, 2)):
            raise ValueError(
                "start, end and escape must not begin with one another; where frames only have"
                " an end, take framing: {type: delimiter}"
            )
        if self.covers_end and self.checksum is None:
            raise ValueError("covers_end is about a checksum: give the checksum, too")
        return self


class EnclosedFramer:
    """Frames lose start, end, escapes and checksum.

    A start within a frame begins it anew: the one before was never finished. An escaped start is
    content.
    """

    __slots__ = (
        "_behind_end",
        "_checksum",
        "_end",
        "_escaped",
        "_ledger",
        "_longest",
        "_marks",
        "_max_bytes",
        "_pending",
        "_place",
        "_start",
        "_xor",
        "pause_s",
    )

    def __init__(
        self,
        rejects: Rejects,
        start: bytes,
        end: bytes,
        *,
        escape: bytes = b"",
        escape_xor: int = 0,
        max_bytes: int = MAX_FRAME_BYTES,
        checksum: Checksum | None = None,
        covers_end: bool = False,
    ) -> None:
        self.pause_s = PAUSE_S
        self._start = start
        self._end = end
        self._xor = escape_xor
        self._max_bytes = max_bytes
        self._checksum = checksum
        self._behind_end = checksum.size if covers_end and checksum else 0
        self._ledger = Ledger(rejects)
        escaped = re.escape(escape) + rb"([\x00-\xff])"
        self._escaped = re.compile(escaped) if escape else None
        marks = b"(?P<end>%b)|(?P<start>%b)" % (re.escape(end), re.escape(start))
        self._marks = re.compile(escaped + b"|" + marks if escape else marks)
        self._longest = max(len(start), len(end), 2)
        self._pending = b""
        self._place = 0  # in the stream, of what is pending

    def restart(self) -> None:
        self._done(len(self._pending))

    def silence(self) -> list[bytes]:
        """A device may pause within a frame, as one that prints value by value."""
        return []

    def feed(self, chunk: bytes) -> list[bytes]:
        self._pending += chunk
        frames: list[bytes] = []
        begin = 0
        while begin < len(self._pending):
            size, frame = self._step(begin)
            if not size:
                break
            if frame is not None:
                frames.append(frame)
            begin += size
        self._done(begin)
        return frames

    def _step(self, begin: int) -> tuple[int, bytes | None]:
        """How many bytes are done with, and the frame in them if any; 0: more have to come."""
        stream = self._pending
        if stray := length_before(self._start, stream, begin):
            self._ledger.stray(self._place + begin, stream[begin : begin + stray])
            return stray, None
        body = begin + len(self._start)
        # No further than here: so that it is the same frame that is too long however it comes.
        limit = body + self._max_bytes + self._longest
        mark = self._next_mark(stream, body, limit)
        if mark is None:
            if len(stream) < limit:
                return 0, None
            # There is no start in it either, so there is nothing in it to find by a second look.
            return self._refuse("too_long", begin, stream[begin:limit], self._max_bytes)
        if mark["start"] is not None:
            frame = stream[begin : mark.start()]
            return self._refuse("partial", begin, frame, len(frame))
        after = mark.end() + self._behind_end
        if len(stream) < after:
            return 0, None
        frame = stream[begin:after]
        if mark.start() - body > self._max_bytes:
            return self._refuse("too_long", begin, frame, len(frame))
        content = self._content(stream[body : mark.start()], stream[mark.end() : after])
        if content is None:
            return self._refuse("checksum", begin, frame, len(frame))
        return len(frame), content

    def _next_mark(self, stream: bytes, begin: int, limit: int) -> re.Match[bytes] | None:
        for found in self._marks.finditer(stream, begin, limit):
            if found.lastgroup is not None:  # else an escaped byte
                return found
        return None

    def _content(self, body: bytes, behind_end: bytes) -> bytes | None:
        if self._escaped is not None:
            body = self._escaped.sub(lambda found: bytes([found[1][0] ^ self._xor]), body)
        if self._checksum is None:
            return body
        if not self._behind_end:
            return self._checksum.content(body)
        content = self._checksum.content(body + self._end + behind_end)
        return None if content is None else content[: -len(self._end)]

    def _refuse(self, reason: str, begin: int, frame: bytes, done: int) -> tuple[int, None]:
        self._ledger.bad(reason, self._place + begin, frame)
        return done, None

    def _done(self, size: int) -> None:
        self._pending = self._pending[size:]
        self._place += size
