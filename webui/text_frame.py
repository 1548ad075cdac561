"""Text frames of a WebSocket, as a server sends them."""

from __future__ import annotations

from websockets.frames import Frame, Opcode


def text_frame(content: bytes) -> bytes:
    """A whole frame, for any number of WebSockets without extensions [RFC 6455 5.2]."""
    return Frame(Opcode.TEXT, content).serialize(mask=False)
