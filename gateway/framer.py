"""Lines out of a stream of bytes. Pure: the same stream gives the same frames however it is cut."""

from __future__ import annotations

import re
from collections import Counter

MAX_LINE_BYTES = 4096
"""Longest line: instruments stay far below, and junk without a line end costs no more memory."""

_LINE_END = re.compile(rb"[\r\n]")


class LineFramer:
    r"""Cuts a stream at \n, \r\n or a bare \r; empty lines are no frames.

    Whoever opens a port may have joined in the middle of a line, so what comes before the first
    line end is dropped: the price for never taking half a number for a whole one. After a silence
    nothing has to be dropped, so a device that speaks once a minute is heard in the first one.
    `joins_midway=False` is for streams that are known to start at their beginning.

    Bounds: a line longer than `max_bytes` is dropped up to its end, and counted; no more than
    `max_bytes` are ever kept between two calls.
    """

    __slots__ = ("_joining", "_joins_midway", "_max_bytes", "_pending", "_skipping", "dropped")

    def __init__(self, max_bytes: int = MAX_LINE_BYTES, *, joins_midway: bool = True) -> None:
        self._max_bytes = max_bytes
        self._joins_midway = joins_midway
        self._pending = b""
        self._skipping = self._joining = joins_midway
        self.dropped: Counter[str] = Counter()
        """How many lines were dropped, by reason: `partial_line` (after opening), `long_line`."""

    def restart(self) -> None:
        """Forget the unfinished line: the stream begins anew. The counts stay."""
        self._pending = b""
        self._skipping = self._joining = self._joins_midway

    def silence(self) -> None:
        """Nothing came for a good while: where nothing ever came, the next byte begins a line.

        No device pauses within a number; one that pauses between two pairs is still understood.
        """
        if self._joining:
            self._joining = self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their ends."""
        first, *rest = _LINE_END.split(chunk)
        if not rest:
            self._extend(first)
            return []
        frames: list[bytes] = []
        self._extend(first)
        self._joining = False
        if self._skipping:
            self._skipping = False
        elif self._pending:
            frames.append(self._pending)
        self._pending = b""
        for line in rest[:-1]:
            if len(line) > self._max_bytes:
                self.dropped["long_line"] += 1
            elif line:
                frames.append(line)
        self._extend(rest[-1])
        return frames

    def _extend(self, piece: bytes) -> None:
        if not piece:
            return
        if self._joining:
            self.dropped["partial_line"] += 1
            self._joining = False
        elif self._skipping:
            return
        elif len(self._pending) + len(piece) > self._max_bytes:
            self.dropped["long_line"] += 1
            self._pending = b""
            self._skipping = True
        else:
            self._pending += piece
