"""A lean WebSocket client that counts what it receives, and a crowd of them.

It never answers a ping: uvicorn hangs up on it after 40 s, so nothing here may last longer.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

from tests.bench.side import Side
from tests.bench.stamp import MARK
from tests.real_ends import DEADLINE_S

_OPENED_AT_ONCE = 50


class Receiver(asyncio.Protocol):
    """One session. `count` is how many messages came; `chunks`, where recorded, the bytes."""

    def __init__(self) -> None:
        self.count = 0
        self.chunks: list[tuple[int, bytes]] | None = None
        self.is_closed = False
        self._tail = b""
        self._awaited: tuple[bytes, asyncio.Future[None]] | None = None
        self._early = b""
        self._goal: tuple[int, asyncio.Future[int]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class

    def connection_lost(self, _exc: Exception | None) -> None:
        self.is_closed = True
        for awaited in (self._awaited, self._goal):
            if awaited is not None and not awaited[1].done():
                awaited[1].set_exception(ConnectionError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        if self.chunks is not None:
            self.chunks.append((now_ns, data))
        joined = self._tail + data
        self.count += joined.count(MARK)
        self._tail = joined[1 - len(MARK) :]
        if self._awaited is not None:
            self._look_for_answer(data)
        if self._goal is not None and self.count >= self._goal[0]:
            self._goal[1].set_result(now_ns)
            self._goal = None

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    async def answered(self, answer: bytes) -> None:
        """Wait until these bytes have come."""
        future = asyncio.get_running_loop().create_future()
        self._awaited = (answer, future)
        self._look_for_answer(b"")
        async with asyncio.timeout(DEADLINE_S):
            await future

    async def reached(self, count: int) -> int:
        """Wait until so many messages have come; when that was, on the monotonic clock, in ns."""
        if self.count >= count:
            return time.monotonic_ns()
        future = asyncio.get_running_loop().create_future()
        self._goal = (count, future)
        async with asyncio.timeout(DEADLINE_S):
            return int(await future)

    def freeze(self) -> None:
        """Read no more."""
        assert self._transport is not None
        self._transport.pause_reading()

    def vanish(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _look_for_answer(self, data: bytes) -> None:
        assert self._awaited is not None
        answer, future = self._awaited
        self._early += data
        at = self._early.find(answer)
        if at >= 0:
            self._early = self._early[at + len(answer) :]
            self._awaited = None
            future.set_result(None)
        else:
            self._early = self._early[-len(answer) :]


async def open_receiver(
    side: Side, *filters: str, newcomer: bool = False, receive_buffer: int = 0
) -> Receiver:
    """A session that watches filters; a newcomer asks for what was there before, too."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", side.web_port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _, receiver = await loop.create_connection(Receiver, sock=sock)
    for request, answer in side.opening(filters, newcomer):
        receiver.write(request)
        await receiver.answered(answer)
    return receiver


@asynccontextmanager
async def watching(side: Side, count: int, topic_filter: str) -> AsyncIterator[list[Receiver]]:
    """So many sessions on one filter, for what comes from now on."""
    async with watching_each(side, [(topic_filter,)] * count) as receivers:
        yield receivers


@asynccontextmanager
async def watching_each(
    side: Side, filters: Sequence[Sequence[str]]
) -> AsyncIterator[list[Receiver]]:
    """A session for each of these sets of filters, for what comes from now on."""
    receivers: list[Receiver] = []
    try:
        for start in range(0, len(filters), _OPENED_AT_ONCE):
            some = filters[start : start + _OPENED_AT_ONCE]
            receivers += await asyncio.gather(*(open_receiver(side, *each) for each in some))
        yield receivers
    finally:
        for receiver in receivers:
            receiver.vanish()
        await asyncio.sleep(0)
