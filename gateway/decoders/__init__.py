"""Decoders: one frame of bytes in, fields out. Pure: no I/O, no clock, no state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.measurement import Value


class Decoder(Protocol):
    """What makes values of a frame."""

    def decode(self, frame: bytes) -> Mapping[str, Value]:
        """The fields of one frame; raises DecodeError, which says what about it is wrong."""
