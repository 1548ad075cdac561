"""Undoing what keeps a delimiter out of frames: COBS and SLIP. Pure."""

from __future__ import annotations

import re

COBS_END = b"\x00"
SLIP_END = b"\xc0"

_SLIP_ESCAPE = re.compile(rb"\xdb([\x00-\xff]?)")
_SLIP_MEANS = {b"\xdc": b"\xc0", b"\xdd": b"\xdb"}


def cobs_decoded(frame: bytes) -> bytes | None:
    """The content of a COBS frame without its final 0; None where it is none.

    Cheshire and Baker, Consistent Overhead Byte Stuffing, 1999: each code says how far the next 0
    is, and 255 that there is none within the 254 bytes behind it.
    """
    content = bytearray()
    place = 0
    while place < len(frame):
        code = frame[place]
        end = place + code
        if code == 0 or end > len(frame):
            return None
        content += frame[place + 1 : end]
        if code < 0xFF and end < len(frame):
            content.append(0)
        place = end
    return bytes(content)


def slip_decoded(frame: bytes) -> bytes | None:
    """The content of a SLIP frame [RFC 1055]; None where an escape stands before another byte."""
    if any(found[1] not in _SLIP_MEANS for found in _SLIP_ESCAPE.finditer(frame)):
        return None
    return _SLIP_ESCAPE.sub(lambda found: _SLIP_MEANS[found[1]], frame)
