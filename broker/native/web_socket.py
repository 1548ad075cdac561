"""MQTT over WebSocket, server side: to TCP a protocol, to the MQTT connection its transport.

Bounds: a piece of the bytes at a time and a slice of work at a time, since a frame may be as
small as six bytes; a frame and a message no larger than an MQTT packet may be; `HIGH_WATER` bytes
of our pongs that the client doesn't read stop us reading, as does an MQTT connection that is not
through yet.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic  # uvloop's own time goes by the millisecond
from typing import Any, cast

from websockets.exceptions import InvalidMessage
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from broker.native.connection import CLOSE_S, HIGH_WATER, Connection
from broker.native.handshake import Gate, Refusal, judge

SUBPROTOCOLS = [Subprotocol("mqtt"), Subprotocol("mqttv3.1")]
"""[MQTT-6.0.0-3]; the second is what clients before MQTT 3.1.1 ask for."""

PIECE_BYTES = 2048
"""What is taken apart between two looks at the clock: 340 of the smallest frames, about 4 ms."""

SLICE_S = 0.002
"""How long one client's frames are taken apart before others have their turn."""

_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

_quiet = logging.getLogger("broker.native.websockets")
_quiet.setLevel(logging.ERROR)


class WebSocket(asyncio.Protocol, asyncio.Transport):
    """One WebSocket, and the MQTT connection that it carries."""

    def __init__(self, connection: Connection, gate: Gate, *, max_message_bytes: int) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self.connection = connection
        self._gate = gate
        self._protocol = ServerProtocol(
            subprotocols=SUBPROTOCOLS, max_size=max_message_bytes, logger=_quiet
        )
        self._tcp: asyncio.Transport | None = None
        self._pending = bytearray()
        self._is_working = False
        self._is_held = False
        self._is_full = False
        self._unread = 0  # of our answers, in bytes, since it reads no more
        self._is_reading = True
        self._is_ending = False
        self._is_over = False
        self._closing: asyncio.TimerHandle | None = None

    # --- to TCP

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = cast(asyncio.Transport, transport)
        self.connection.connection_made(self)

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        self._pending += data
        if not self._is_working:
            self._work()

    def eof_received(self) -> None:
        """The client is gone, or says nothing more: that ends a WebSocket."""
        self._abort_later()

    def pause_writing(self) -> None:
        self._is_full = True
        self.connection.pause_writing()

    def resume_writing(self) -> None:
        self._is_full = False
        self._unread = 0
        self._work_soon()
        self.connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self._pending.clear()
        if self._closing is not None:
            self._closing.cancel()
        self.connection.connection_lost(exc)

    # --- to the MQTT connection

    def write(self, data: Any) -> None:
        """Send bytes in a binary frame, which may hold any part of any packets [MQTT-6.0.0-4]."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(data)
            self._write_out()

    def close(self) -> None:
        """Say that this is the end; the client's answer to that closes the connection."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._write_out()
            self._is_held = False  # what else it sent stands before its answer
            self._work_soon()
        elif self._protocol.state is State.CONNECTING:
            self._end()

    def abort(self) -> None:
        self._is_over = True
        if self._tcp is not None:
            self._tcp.abort()

    def is_closing(self) -> bool:
        return self._is_over or self._protocol.state in (State.CLOSING, State.CLOSED)

    def pause_reading(self) -> None:
        self._is_held = True
        self._read_on()

    def resume_reading(self) -> None:
        self._is_held = False
        self._work_soon()

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        assert self._tcp is not None
        return self._tcp.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert self._tcp is not None
        self._tcp.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        assert self._tcp is not None
        return self._tcp.get_extra_info(name, default)

    # --- how

    def _work_soon(self) -> None:
        if not self._is_working:
            self._is_working = True
            self._loop.call_soon(self._work)

    def _work(self) -> None:
        """Take frames apart until there is none, or this client's slice is over."""
        self._is_working = False
        began = monotonic()
        while self._pending and not (self._is_held or self._is_stuffed or self._is_over):
            piece = bytes(self._pending[:PIECE_BYTES])
            del self._pending[:PIECE_BYTES]
            self._take(piece)
            if self._pending and monotonic() - began > SLICE_S:
                self._work_soon()
                break
        self._end_if_through()
        self._read_on()

    @property
    def _is_stuffed(self) -> bool:
        return self._unread > HIGH_WATER

    def _read_on(self) -> None:
        """Take in no more than is taken apart."""
        wanted = not (self._pending or self._is_held or self._is_stuffed)
        if wanted == self._is_reading or self._is_over:
            return
        self._is_reading = wanted
        assert self._tcp is not None
        if wanted:
            self._tcp.resume_reading()
        else:
            self._tcp.pause_reading()

    def _take(self, piece: bytes) -> None:
        protocol = self._protocol
        protocol.receive_data(piece)
        payloads: list[bytes] = []
        for event in protocol.events_received():
            if isinstance(event, Request):
                self._answer(event)
            elif isinstance(event, Frame):
                if event.opcode is Opcode.TEXT:  # [MQTT-6.0.0-1]
                    protocol.fail(CloseCode.UNSUPPORTED_DATA, "MQTT comes in binary frames")
                    break
                if event.opcode in (Opcode.BINARY, Opcode.CONT):
                    payloads.append(bytes(event.data))
        if isinstance(protocol.handshake_exc, InvalidMessage) and self._tcp is not None:
            self._tcp.write(_BAD_REQUEST)
        if payloads:
            self.connection.data_received(b"".join(payloads))
        written = self._write_out()
        if self._is_full:
            self._unread += written

    def _answer(self, request: Request) -> None:
        """Accept a handshake or say why not."""
        if self._protocol.eof_sent:  # there was junk right behind it
            return
        verdict = judge(request, self._gate)
        if isinstance(verdict, Refusal):
            response = self._protocol.reject(verdict.status, f"{verdict.message}\n")
        else:
            self.connection.must_log_in = verdict.must_log_in
            response = self._protocol.accept(request)
        self._protocol.send_response(response)

    def _write_out(self) -> int:
        """Send what there is, and how many bytes that is."""
        out = self._protocol.data_to_send()
        data = b"".join(out)
        assert self._tcp is not None
        if data:
            self._tcp.write(data)
        if out and not out[-1]:  # SEND_EOF: nothing more is to come from either side
            self._is_ending = True
            self._abort_later()
            self._end_if_through()
        return len(data)

    def _abort_later(self) -> None:
        """A transport that closes waits for ever for a client that never reads the last of it."""
        if self._closing is None:
            self._closing = self._loop.call_later(CLOSE_S, self.abort)

    def _end_if_through(self) -> None:
        """Close once the MQTT connection has worked off what came before the client's close."""
        if self._is_ending and not self._is_held and not self._is_over:
            self._end()

    def _end(self) -> None:
        self._is_over = True
        self._pending.clear()
        assert self._tcp is not None
        self._tcp.close()
