"""uvicorn's WebSocket protocol, fed a piece at a time, so that no browser holds the loop.

A read may bring a quarter of a megabyte, which in frames of six bytes is most of a second of
work at once (tried); in slices, others have their turn in between. While something waits for
its turn, or the application is behind, nothing is read.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

PIECE_BYTES = 4096
SLICE_S = 0.002


class SlicedWebSocketProtocol(WebSocketsSansIOProtocol):
    """See above; `read_paused` of uvicorn's own says whether the application is behind."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pending = bytearray()
        self._is_due = False

    def data_received(self, data: bytes) -> None:
        self._pending += data
        if not self._is_due:
            self._work()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pending.clear()
        super().connection_lost(exc)

    async def receive(self) -> ASGIReceiveEvent:
        message = await super().receive()
        self._go_on()
        return message

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        # To answer by HTTP instead is a handshake that is over, too. uvicorn 0.54 takes it for one
        # that was forgotten, and logs an error for each WebSocket that is refused.
        self.handshake_complete |= self.close_sent
        self._go_on()

    def _work(self) -> None:
        self._is_due = False
        began = monotonic()
        while self._pending and not self.read_paused and not self.transport.is_closing():
            piece = bytes(self._pending[:PIECE_BYTES])
            del self._pending[:PIECE_BYTES]
            super().data_received(piece)
            if monotonic() - began > SLICE_S:
                break
        if self.transport.is_closing():
            self._pending.clear()
        elif self._pending:
            self._go_on()
        elif not self.read_paused:
            self.transport.resume_reading()

    def _go_on(self) -> None:
        """Take apart what waits, in its turn; until then nothing more is read."""
        if self._pending:
            self.transport.pause_reading()
            if not self.read_paused and not self._is_due:
                self._is_due = True
                self.loop.call_soon(self._work)
