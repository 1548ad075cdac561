"""What every reader is: the protocols, and the clock that they share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from gateway.framers import BadFrame
from gateway.measurement import Measurement, Value

READ_TIMEOUT_S = 0.5
"""How long one `read` may block with nothing to say: a stop is noticed this late at most."""

WRITE_TIMEOUT_S = 2.0
"""How long a port may take to accept what is written, before it counts as gone."""

Clock = Callable[[], int]
"""The time now, in ms since 1970, UTC."""


def wall_clock_ms() -> int:
    """The Clock of the real world."""
    return time.time_ns() // 1_000_000


class Reader(Protocol):
    """One way to one device. All three are called from the reader's own thread only."""

    def open(self) -> None:
        """Take the hardware. Raises ReaderError, in a sentence, when that can't be done now."""

    def read(self) -> Sequence[Measurement]:
        """What came, oldest first, within READ_TIMEOUT_S; nothing is fine.

        Raises ReaderError when the hardware is gone, never for a frame that makes no sense.
        """

    def close(self) -> None:
        """Let the hardware go; allowed at any time, also twice, and raises nothing."""


@runtime_checkable
class Rejecting(Protocol):
    """What a reader has beside that when it may drop something of what the hardware said."""

    @property
    def rejected(self) -> Mapping[str, int]:
        """How many frames were dropped so far, by reason; a copy, from any thread."""


Content = bytes | Value
"""What a reader is to write: bytes for those that speak bytes, else a value of the hardware's."""


@runtime_checkable
class Writing(Protocol):
    """What a reader has beside that when its hardware takes commands."""

    def write(self, point: str, content: Content) -> None:
        """Tell the hardware, from any thread; returns when it has taken it.

        Raises ReaderError where it can't, and ValueError for what makes no sense to it.
        """


@runtime_checkable
class KeepsBadFrames(Protocol):
    """What a reader has beside that when it keeps some of what it dropped."""

    @property
    def bad_frames(self) -> Sequence[BadFrame]:
        """The last few frames that made no sense, the newest last; from any thread."""


class BytePort(Protocol):
    """A reader's lower half, where the hardware speaks bytes. Same rules as Reader."""

    def open(self) -> None: ...

    def read(self, timeout_s: float = READ_TIMEOUT_S) -> bytes:
        """What came within `timeout_s`: the first bytes at once, whatever their number."""

    def close(self) -> None: ...


class TwoWayPort(BytePort, Protocol):
    """A port that is spoken to as well."""

    def write(self, content: bytes) -> None:
        """All of it, within WRITE_TIMEOUT_S; raises ReaderError where that can't be done.

        From any thread; what several threads write is not mixed.
        """

    def discard(self) -> None:
        """Forget what has come and was not read."""
