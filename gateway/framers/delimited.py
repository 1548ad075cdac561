"""Frames that end with a delimiter: lines, any other ends, COBS and SLIP. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from pydantic import Field

from gateway.byte_text import ByteText
from gateway.framers.checksum import Checksum
from gateway.framers.framer import MAX_FRAME_BYTES, PAUSE_S, Rejects
from gateway.framers.section import FramingSection


class LineConfig(FramingSection):
    r"""`framing: {type: line}`: lines that end with \n, \r\n or \r."""

    type: Literal["line"]


class DelimiterConfig(FramingSection):
    """`framing: {type: delimiter, delimiter: ";"}`"""

    type: Literal["delimiter"]
    delimiter: ByteText = Field(
        description="What ends a frame: text, or bytes as in hex:03.", examples=["hex:03"]
    )


class CobsConfig(FramingSection):
    """`framing: {type: cobs}`: Consistent Overhead Byte Stuffing; a 0 ends a frame."""

    type: Literal["cobs"]


class SlipConfig(FramingSection):
    """`framing: {type: slip}`: RFC 1055."""

    type: Literal["slip"]


class DelimitedFramer:
    r"""Cuts a stream at its delimiters; empty frames are none.

    Whoever opens a port may have joined in the middle of a frame, so what comes before the first
    delimiter is dropped: the price for never taking half a number for a whole one. After a pause
    nothing has to be dropped, so a device that speaks once a minute is heard in the first one.
    `joins_midway=False` is for streams that are known to start at their beginning.

    A frame longer than `max_bytes` is dropped up to its end, and counted once.
    """

    __slots__ = (
        "_checksum",
        "_decoded",
        "_end",
        "_is_long",
        "_joining",
        "_joins_midway",
        "_max_bytes",
        "_pending",
        "_rejects",
        "_spare",
        "pause_s",
    )

    def __init__(
        self,
        rejects: Rejects,
        *,
        delimiter: bytes | None = None,
        max_bytes: int = MAX_FRAME_BYTES,
        checksum: Checksum | None = None,
        decoded: Callable[[bytes], bytes | None] = lambda frame: frame,
        joins_midway: bool = True,
    ) -> None:
        r"""No `delimiter` is \r or \n; `decoded` gives None for what can't be."""
        self.pause_s = PAUSE_S
        self._end = re.compile(rb"[\r\n]" if delimiter is None else re.escape(delimiter))
        self._spare = len(delimiter or b"\n") - 1  # bytes that may begin a delimiter
        self._max_bytes = max_bytes
        self._checksum = checksum
        self._decoded = decoded
        self._rejects = rejects
        self._joins_midway = joins_midway
        self._pending = b""
        self._is_long = False
        self._joining = joins_midway

    def restart(self) -> None:
        self._pending = b""
        self._is_long = False
        self._joining = self._joins_midway

    def silence(self) -> list[bytes]:
        """Where nothing ever came, the next byte begins a frame.

        A device that pauses between two pairs of a line is still understood.
        """
        if not self._pending:
            self._joining = False
        return []

    def feed(self, chunk: bytes) -> list[bytes]:
        stream = self._pending + chunk
        frames: list[bytes] = []
        begin = 0
        for end in self._end.finditer(stream, max(0, len(self._pending) - self._spare)):
            frame = self._finished(stream[begin : end.start()])
            if frame is not None:
                frames.append(frame)
            begin = end.end()
        self._pending = stream[begin:]
        if self._is_long or len(self._pending) > self._max_bytes + self._spare:
            self._forget_long()
        return frames

    def _finished(self, frame: bytes) -> bytes | None:
        is_long, self._is_long = self._is_long, False
        is_partial, self._joining = self._joining, False
        if is_long or not frame:
            return None
        reason, content = ("partial", b"") if is_partial else self._content(frame)
        if reason:
            self._rejects.note(reason, frame)
            return None
        return content

    def _content(self, frame: bytes) -> tuple[str, bytes]:
        """Why it is a bad frame, or else what a decoder should see of it."""
        if len(frame) > self._max_bytes:
            return "too_long", b""
        content = self._decoded(frame)
        if content is None:
            return "stuffing", b""
        if self._checksum is not None:
            content = self._checksum.content(content)
        return ("checksum", b"") if content is None else ("", content)

    def _forget_long(self) -> None:
        """Keep only what may begin the delimiter."""
        if not self._is_long:
            self._rejects.note("partial" if self._joining else "too_long", self._pending)
        self._is_long = True
        self._pending = self._pending[-self._spare :] if self._spare else b""
