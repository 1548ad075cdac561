"""Checksums at the end of frames: sums, XOR, and CRCs by their catalogue names. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Annotated, Literal

from fastcrc import crc8, crc16, crc32
from pydantic import AfterValidator, Field, WithJsonSchema

from gateway.byte_text import ByteText, bytes_of
from gateway.section import Section

Algorithm = Callable[[bytes], int]

_OTHER_NAMES = {
    "CRC-8": "CRC-8/SMBUS",
    "CRC-8/EBU": "CRC-8/TECH-3250",
    "CRC-8/ITU": "CRC-8/I-432-1",
    "CRC-8/MAXIM": "CRC-8/MAXIM-DOW",
    "CRC-16": "CRC-16/ARC",
    "CRC-16/AUG-CCITT": "CRC-16/SPI-FUJITSU",
    "CRC-16/CCITT": "CRC-16/KERMIT",
    "CRC-16/CCITT-FALSE": "CRC-16/IBM-3740",
    "CRC-16/CCITT-TRUE": "CRC-16/KERMIT",
    "CRC-16/IBM": "CRC-16/ARC",
    "CRC-16/MAXIM": "CRC-16/MAXIM-DOW",
    "CRC-16/X-25": "CRC-16/IBM-SDLC",
    "CRC-32": "CRC-32/ISO-HDLC",
    "CRC-32/CASTAGNOLI": "CRC-32/ISCSI",
    "CRC-32/POSIX": "CRC-32/CKSUM",
    "CRC-32C": "CRC-32/ISCSI",
}
"""Aliases of the catalogue that people look for."""

_NOT_OF_THE_CATALOGUE = {"ibm_refin", "k_reversed_reciprocal_refin"}


def _lrc(content: bytes) -> int:
    return -sum(content) & 0xFF


def _xor(content: bytes) -> int:
    """All bytes XORed, by halves: Python's large numbers do that quicker than a loop."""
    value, size = int.from_bytes(content, "big"), len(content)
    while size > 1:
        size = (size + 1) // 2
        value = value >> 8 * size ^ value & (1 << 8 * size) - 1
    return value


def _crcs(width: int, module: ModuleType) -> Iterator[tuple[str, tuple[Algorithm, int]]]:
    for name in module.algorithms_available - _NOT_OF_THE_CATALOGUE:
        whole = f"CRC-{width}/{name.upper().replace('_', '-')}"
        yield whole, (getattr(module, name), width // 8)


ALGORITHMS: dict[str, tuple[Algorithm, int]] = {
    "SUM": (lambda content: sum(content) & 0xFF, 1),
    "SUM-16": (lambda content: sum(content) & 0xFFFF, 2),
    "LRC": (_lrc, 1),
    "XOR": (_xor, 1),
    **dict(sorted((*_crcs(8, crc8), *_crcs(16, crc16), *_crcs(32, crc32)))),
}
"""Name → how to compute it, and how many bytes it has."""
ALGORITHMS |= {name: ALGORITHMS[meant] for name, meant in _OTHER_NAMES.items()}


def _check_name(given: str) -> str:
    name = given.upper()
    if name in ALGORITHMS:
        return name
    near = difflib.get_close_matches(name, ALGORITHMS, n=3, cutoff=0.5)
    meant = f": did you mean {', '.join(near)}?" if near else "."
    raise ValueError(
        f"is no checksum that is known{meant} Known are sum, sum-16, lrc, xor and the CRCs of 8, 16"
        " and 32 bits by their catalogue names, as in CRC-16/MODBUS"
    )


class ChecksumConfig(Section):
    """`checksum: {name: CRC-16/MODBUS, byte_order: little}`"""

    name: Annotated[
        str,
        Field(max_length=40),
        AfterValidator(_check_name),
        WithJsonSchema({"type": "string", "examples": ["CRC-16/MODBUS", "xor"]}),
    ] = Field(
        description="sum, sum-16, lrc (the sum's two's complement), xor, or a CRC by its name in"
        " the RevEng catalogue."
    )
    byte_order: Literal["big", "little"] = Field(
        default="big", description="Which of its bytes comes first: the most or least significant."
    )
    encoding: Literal["binary", "hex"] = Field(
        default="binary", description="As bytes, or as hexadecimal digits."
    )
    separator: ByteText | None = Field(
        default=None, description="What stands before it and isn't covered, as * in NMEA 0183."
    )
    skip: Annotated[int, Field(ge=0, le=64)] = Field(
        default=0, description="How many bytes at the beginning it doesn't cover."
    )


class Checksum:
    """The last bytes of a frame, and the rest that they must fit."""

    __slots__ = ("_algorithm", "_byte_order", "_is_hex", "_separator", "_skip", "_sum_size", "size")

    def __init__(self, config: ChecksumConfig) -> None:
        self._algorithm, bytes_of_sum = ALGORITHMS[config.name]
        self._byte_order: Literal["big", "little"] = config.byte_order
        self._is_hex = config.encoding == "hex"
        self._separator = bytes_of(config.separator) if config.separator else b""
        self._skip = config.skip
        self._sum_size = bytes_of_sum * (2 if self._is_hex else 1)
        self.size = self._sum_size + len(self._separator)
        """How many bytes of a frame it takes, its separator included."""

    def content(self, frame: bytes) -> bytes | None:
        """The frame without its checksum, or None where that doesn't fit."""
        if len(frame) < self.size:
            return None
        content, end = frame[: -self.size], frame[-self.size :]
        if not end.startswith(self._separator):
            return None
        expected = self._algorithm(content[self._skip :])
        given = end[len(self._separator) :]
        size = self._sum_size // 2 if self._is_hex else self._sum_size
        wanted = expected.to_bytes(size, self._byte_order)
        if self._is_hex:
            wanted, given = wanted.hex().encode(), given.lower()
        return content if given == wanted else None
