"""Readers: ways to hardware. They block, know no MQTT, and each lives in a thread of its own.

A reader is a file in this folder with a config section and a class; `build` is where the two
meet. Bytes go port → framer → decoder; a reader that has values at once, like `host`, needs
neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.measurement import Measurement

READ_TIMEOUT_S = 0.5
"""How long one `read` may block with nothing to say: a stop is noticed this late at most."""


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


class BytePort(Protocol):
    """A reader's lower half, where the hardware speaks bytes. Same rules as Reader."""

    def open(self) -> None: ...

    def read(self) -> bytes: ...

    def close(self) -> None: ...
