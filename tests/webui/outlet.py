"""A way out of a session without a connection: it keeps the frames, and the peer may freeze."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tests.webui.client import content_of


class RecordingOutlet:
    """A way out whose frames come to lists, until the peer reads no more or is gone."""

    def __init__(self) -> None:
        self.on_ready: Callable[[], None] = lambda: None
        self.on_write: Callable[[dict[str, Any]], None] = lambda _frame: None
        self.written: list[bytes] = []
        self.frames: list[dict[str, Any]] = []
        self._reads = asyncio.Event()
        self._reads.set()
        self._is_gone = False

    @property
    def is_ready(self) -> bool:
        return self._reads.is_set() and not self._is_gone

    async def ready(self) -> None:
        while not self.is_ready:
            if self._is_gone:
                raise ConnectionAbortedError
            await self._reads.wait()

    def write(self, frame: bytes) -> None:
        assert self.is_ready
        self.written.append(frame)
        self.frames.append(json.loads(content_of(frame)))
        self.on_write(self.frames[-1])

    def freeze(self) -> None:
        self._reads.clear()

    def thaw(self) -> None:
        self._reads.set()
        self.on_ready()

    def vanish(self) -> None:
        self._is_gone = True
        self._reads.set()
