"""A serial device for tests: a pty that can be unplugged and plugged in at the same path."""

from __future__ import annotations

import contextlib
import os
import select
import tty
from collections.abc import Iterator
from pathlib import Path

from tests.real_ends import DEADLINE_S


class SerialLine:
    """`path` is what a config names; it exists only while the line is plugged in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._master: int | None = None

    def plug(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path.symlink_to(os.ttyname(slave))
        os.close(slave)

    def unplug(self) -> None:
        self.path.unlink(missing_ok=True)
        if self._master is not None:
            os.close(self._master)
            self._master = None

    def say(self, content: bytes) -> None:
        """What the device sends."""
        assert self._master is not None
        os.write(self._master, content)

    def hear(self, timeout_s: float = DEADLINE_S) -> bytes:
        """What the device gets: all that is there; nothing, if nothing comes in time."""
        assert self._master is not None
        ready, _, _ = select.select([self._master], [], [], timeout_s)
        return os.read(self._master, 65_536) if ready else b""


@contextlib.contextmanager
def serial_line(folder: Path, name: str = "ttyTEST0") -> Iterator[SerialLine]:
    """A line that is plugged in."""
    line = SerialLine(folder / name)
    line.plug()
    try:
        yield line
    finally:
        line.unplug()
