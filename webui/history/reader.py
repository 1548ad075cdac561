"""Who asks the file: in a thread of its own, with a connection that is opened when it is needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Error as SqliteError
from typing import TypeVar

from webui.errors import RefusedError
from webui.history.reading import Reading
from webui.history.thread import FileThread

T = TypeVar("T")
log = logging.getLogger(__name__)

READ_S = 10.0
"""How long an answer may take, before whoever waits for it is told to try again later."""

MAX_READS = 64


class Reader:
    """One answer after the other. Lives on one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = FileThread("history-reader", waiting=MAX_READS)
        self._reading: Reading | None = None
        self._is_readable = True

    async def read(self, call: Callable[[Reading], T]) -> T:
        """What a call finds in the file; raises RefusedError."""
        try:
            async with asyncio.timeout(READ_S):
                found = await self._thread.run(self._call, call)
        except TimeoutError:
            raise RefusedError("unavailable", "the disk is too slow now: try again later") from None
        except SqliteError as error:
            if self._is_readable:
                self._is_readable = False
                log.error("History can't be read (%s); whoever asks for it is told so.", error)
            raise RefusedError("unavailable", f"history can't be read now ({error})") from None
        if not self._is_readable:
            self._is_readable = True
            log.warning("History can be read again.")
        return found

    async def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        await self._thread.run(self._close)

    def end(self) -> None:
        """No more calls."""
        self._thread.end()

    def _call(self, call: Callable[[Reading], T]) -> T:
        if self._reading is None:
            self._reading = Reading(self._path)
        try:
            return call(self._reading)
        except SqliteError:
            self._close()
            raise

    def _close(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None
