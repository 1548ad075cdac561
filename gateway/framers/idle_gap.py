"""Frames that are apart by silence, as in Modbus RTU. Pure: who reads notices the silence."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.framers.checksum import Checksum
from gateway.framers.framer import MAX_FRAME_BYTES, Rejects
from gateway.framers.section import FramingSection


class IdleGapConfig(FramingSection):
    """`framing: {type: idle_gap, gap_ms: 50}`"""

    type: Literal["idle_gap"]
    gap_ms: Annotated[int, Field(ge=2, le=500)] = Field(
        default=20,
        description="How long a silence ends a frame; USB adapters hand bytes on every 16 ms.",
    )


class IdleGapFramer:
    """What comes between two silences is a frame. Empty ones are none."""

    __slots__ = (
        "_checksum",
        "_is_long",
        "_joining",
        "_joins_midway",
        "_max_bytes",
        "_pending",
        "_rejects",
        "pause_s",
    )

    def __init__(
        self,
        rejects: Rejects,
        gap_s: float,
        *,
        max_bytes: int = MAX_FRAME_BYTES,
        checksum: Checksum | None = None,
        joins_midway: bool = True,
    ) -> None:
        self.pause_s = gap_s
        self._rejects = rejects
        self._max_bytes = max_bytes
        self._checksum = checksum
        self._joins_midway = joins_midway
        self.restart()

    def restart(self) -> None:
        self._pending = b""
        self._is_long = False
        self._joining = self._joins_midway

    def feed(self, chunk: bytes) -> list[bytes]:
        self._pending += chunk
        if len(self._pending) > self._max_bytes:
            self._pending = self._pending[: self._max_bytes]
            self._is_long = True
        return []

    def silence(self) -> list[bytes]:
        frame, is_long, is_partial = self._pending, self._is_long, self._joining
        self._pending, self._is_long, self._joining = b"", False, False
        if not frame:
            return []
        if is_long or is_partial:
            self._rejects.note("too_long" if is_long else "partial", frame)
            return []
        content = frame if self._checksum is None else self._checksum.content(frame)
        if content is None:
            self._rejects.note("checksum", frame)
            return []
        return [content]
