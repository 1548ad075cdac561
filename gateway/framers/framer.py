"""What every framer is, and the account of what made no sense."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

MAX_FRAME_BYTES = 4096
"""Longest frame where the config names no other: instruments stay far below, and junk without an
end costs no more memory."""

PAUSE_S = 0.5
"""No device pauses so long within a number."""

KEPT_FRAMES = 5
KEPT_BYTES = 64
"""Of each bad frame; that is enough to see a wrong baudrate or a missing byte."""


class Framer(Protocol):
    """Cuts a stream into frames. Pure: the same stream gives the same frames however it is cut.

    Any bytes are frames or counted; no more than a frame and a chunk are ever kept.
    """

    @property
    def pause_s(self) -> float:
        """After how long without a byte to call `silence`."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The frames that this chunk completes, as a decoder should see them."""

    def silence(self) -> list[bytes]:
        """Nothing came for `pause_s`, and the frames that this completes."""

    def restart(self) -> None:
        """Forget what is unfinished: the stream begins anew."""


WHY = {
    "partial": "is not whole",
    "too_long": "is longer than max_bytes",
    "checksum": "doesn't fit its checksum",
    "stuffing": "is no COBS or SLIP",
    "length": "says a length that can't be",
    "stray": "has no beginning: bytes that belong to no frame",
    "no_answer": "did not come in time as the answer to this",
}
"""The reasons why frames are bad, for people; a decoder says its own, as `undecodable`."""


JOINING = frozenset({"partial", "stray"})
"""What is dropped, too, where somebody only joins midway."""


@dataclass(frozen=True, slots=True)
class BadFrame:
    """`content` is its beginning, KEPT_BYTES at most; `why` goes on from `a frame …`."""

    time_ms: int
    reason: str
    why: str
    content: bytes


class Rejects:
    """Counts bad frames by reason and keeps the last few; `time_ms` is to be set before them."""

    __slots__ = ("_counts", "last", "time_ms", "total")

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.last: tuple[BadFrame, ...] = ()
        """The newest last. A tuple, so that any thread may look at it."""
        self.total = 0
        self.time_ms = 0

    @property
    def counts(self) -> dict[str, int]:
        """A copy, from any thread."""
        return dict(self._counts)

    def note(self, reason: str, content: bytes, why: str = "") -> None:
        """One more; `why` says more than WHY has."""
        self._counts[reason] += 1
        self.total += 1
        bad = BadFrame(self.time_ms, reason, why or WHY[reason], bytes(content[:KEPT_BYTES]))
        self.last = (*self.last[1 - KEPT_FRAMES :], bad)


class Ledger:
    """For framers that search: each byte of the stream is bad once, however often it is tried.

    Places are counted from the beginning of the stream.
    """

    __slots__ = ("_counted_to", "_rejects", "_stray_to")

    def __init__(self, rejects: Rejects) -> None:
        self._rejects = rejects
        self._counted_to = 0
        self._stray_to = -1

    def stray(self, place: int, content: bytes) -> None:
        """Bytes that belong to no frame; those that follow each other are counted as one."""
        begin = max(place, self._counted_to)
        end = place + len(content)
        if begin >= end:
            return
        if begin != self._stray_to:
            self._rejects.note("stray", content[begin - place :])
        self._stray_to = self._counted_to = end

    def bad(self, reason: str, place: int, content: bytes) -> None:
        """What looked like a frame and is none."""
        if place >= self._counted_to:
            self._rejects.note(reason, content)
            self._counted_to = place + len(content)


def length_before(start: bytes, stream: bytes, begin: int) -> int:
    """How many bytes of a stream, from `begin` on, stand before `start` or what may become it."""
    found = stream.find(start, begin)
    if found >= 0:
        return found - begin
    rest = len(stream) - begin
    for size in range(min(len(start) - 1, rest), 0, -1):
        if stream.endswith(start[:size]):
            return rest - size
    return rest
