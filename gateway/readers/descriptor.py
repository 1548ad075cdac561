"""Writing to a descriptor that doesn't block: a serial device's, a socket's."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time

from gateway.readers.reader import WRITE_TIMEOUT_S


def write_all(descriptor: int, content: bytes) -> None:
    """All of it; raises OSError where that can't be done within WRITE_TIMEOUT_S."""
    writable = select.poll()
    writable.register(descriptor, select.POLLOUT)
    deadline_s = time.monotonic() + WRITE_TIMEOUT_S
    while content:
        if not writable.poll(max(0.0, deadline_s - time.monotonic()) * 1000):
            raise TimeoutError(errno.ETIMEDOUT, f"not within {WRITE_TIMEOUT_S:g} s")
        with contextlib.suppress(BlockingIOError):
            content = content[os.write(descriptor, content) :]
