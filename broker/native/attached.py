"""A client whose bytes somebody else carries: the broker's side of `broker.attachment`."""

from __future__ import annotations

import asyncio
from typing import Any

from broker.native.connection import Connection

PIECE_BYTES = 64 * 1024
"""What the MQTT connection is given at once: large frames are copied a few times at most."""


class AttachedConnection(asyncio.Transport):
    """To the carrier an `Attached`, to the MQTT connection its transport."""

    def __init__(
        self,
        connection: Connection,
        peer_host: str,
        *,
        must_log_in: bool,
        known_as: str | None = None,
    ) -> None:
        super().__init__({"peername": (peer_host, 0)})
        self._connection = connection
        self._out: list[bytes] = []
        self._size = 0
        self._high = 64 * 1024
        self._is_full = False
        self._is_closing = False
        self._is_lost = False
        self._may_feed = asyncio.Event()
        self._may_feed.set()
        self._news = asyncio.Event()
        self._aborted = asyncio.Event()
        connection.must_log_in = must_log_in
        connection.known_as = known_as
        connection.connection_made(self)

    # --- to the carrier

    async def feed(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE_BYTES):
            await self._may_feed.wait()
            self._connection.data_received(data[start : start + PIECE_BYTES])
        await self._may_feed.wait()

    async def read(self) -> bytes:
        await self._news.wait()
        out = b"".join(self._out)
        self._out.clear()
        self._size = 0
        if not self._is_closing:
            self._news.clear()
        if self._is_full:
            self._is_full = False
            self._connection.resume_writing()
        return out

    async def aborted(self) -> None:
        await self._aborted.wait()

    def stop(self) -> None:
        self._connection.stop()

    def lost(self) -> None:
        if not self._is_lost:
            self._is_lost = True
            self.abort()
            self._connection.connection_lost(None)

    # --- to the MQTT connection

    def write(self, data: Any) -> None:
        if self._is_closing:
            return
        self._out.append(data)
        self._size += len(data)
        self._news.set()
        if self._size > self._high and not self._is_full:
            self._is_full = True
            self._connection.pause_writing()

    def close(self) -> None:
        self._is_closing = True
        self._news.set()
        self._may_feed.set()  # what still comes counts no more

    def abort(self) -> None:
        self._out.clear()
        self._size = 0
        self.close()
        self._aborted.set()

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        if not self._is_closing:
            self._may_feed.clear()

    def resume_reading(self) -> None:
        self._may_feed.set()

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self._size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:  # noqa: ARG002 - all of it is fetched at once
        if high is not None:
            self._high = high
