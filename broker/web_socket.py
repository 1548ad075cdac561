"""MQTT over WebSocket, client side and without I/O: bytes in binary frames [MQTT-6.0.0-1]."""

from __future__ import annotations

from websockets.client import ClientProtocol
from websockets.exceptions import NegotiationError
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

MAX_FRAME_BYTES = 268_435_460
"""The longest MQTT packet, since most brokers put each packet into a frame of its own."""


class WebSocketFraming:
    """One WebSocket connection: first the handshake, then `wrap` and `unwrap`."""

    def __init__(self, url: str) -> None:
        self._protocol = ClientProtocol(
            parse_uri(url), subprotocols=[Subprotocol("mqtt")], max_size=MAX_FRAME_BYTES
        )
        self._protocol.send_request(self._protocol.connect())

    def shaken(self, data: bytes) -> bool:
        """Take bytes of the server's answer; true once it agreed.

        Raises InvalidHandshake, or EOFError where `data` is empty: the server has gone.
        """
        if not data:
            raise EOFError
        self._protocol.receive_data(data)
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc
        if self._protocol.state is State.CONNECTING:
            return False
        if self._protocol.subprotocol != "mqtt":  # [MQTT-6.0.0-4]
            raise NegotiationError("it doesn't know the subprotocol mqtt")
        return True

    def wrap(self, data: bytes) -> bytes:
        """A binary frame."""
        self._protocol.send_binary(data)
        return self.replies()

    def unwrap(self, data: bytes) -> bytes:
        """The payloads of the frames that `data` completes; b"" where it completes none."""
        self._protocol.receive_data(data)
        return b"".join(
            frame.data
            for frame in self._protocol.events_received()
            if isinstance(frame, Frame) and frame.opcode in (Opcode.BINARY, Opcode.CONT)
        )

    def replies(self) -> bytes:
        """What the protocol itself has to say: the request, a pong, a close frame."""
        return b"".join(self._protocol.data_to_send())

    @property
    def is_open(self) -> bool:
        """False once either side closed, or the server broke the rules."""
        return self._protocol.state is State.OPEN
