"""Who may speak on a port: one at a time, with a pause in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import ReaderError
from gateway.readers.reader import TwoWayPort


class Line:
    """The one way to write to a port; `write` may be called from any thread.

    Two writes are `pause_s` apart at least, because small devices have small buffers. A request
    keeps the line until its answer has come, or time is up: on a line where only one can speak,
    a command in between would destroy it. Commands that wait go before the next request.
    """

    def __init__(self, port: TwoWayPort, pause_s: float = 0.0, patience_s: float = 2.0) -> None:
        """`patience_s` is how long a command waits for the answer to somebody's request."""
        self._port = port
        self._pause_s = pause_s
        self._patience_s = patience_s
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0
        self._is_asking = False
        self._free_s = 0.0

    @property
    def is_wanted(self) -> bool:
        """Whether a command waits for its turn."""
        return self._waiting > 0

    def write(self, content: bytes) -> None:
        """All of it, when it is our turn; raises ReaderError where that can't be done."""
        with self._waits_for_turn():
            if not self._turn.acquire(timeout=self._patience_s):
                raise ReaderError(f"the line was not free within {self._patience_s:g} s")
        try:
            self._write(content)
        finally:
            self._turn.release()

    def ask(self, request: bytes) -> bool:
        """Send a request and keep the line, if nobody is waiting for it; the reader's thread only.

        Raises ReaderError where it can't be sent.
        """
        if self.is_wanted or not self._turn.acquire(blocking=False):
            return False
        self._is_asking = True
        self._write(request)
        return True

    def free(self) -> None:
        """The answer came, or won't; the reader's thread only, and also where nothing was asked."""
        if self._is_asking:
            self._is_asking = False
            self._turn.release()

    def _write(self, content: bytes) -> None:
        time.sleep(max(0.0, self._free_s - time.monotonic()))
        try:
            self._port.write(content)
        finally:
            self._free_s = time.monotonic() + self._pause_s

    @contextmanager
    def _waits_for_turn(self) -> Iterator[None]:
        with self._counting:
            self._waiting += 1
        try:
            yield
        finally:
            with self._counting:
                self._waiting -= 1
