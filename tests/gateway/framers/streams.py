"""Streams for framers: every framing with its way to make a frame, and streams cut anywhere."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import xor

from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway.framers import AnyFraming, Framer, FramingConfig, Rejects, build

MAX_BYTES = 48


def framer(config: dict[str, object], *, joins_midway: bool = True) -> tuple[Framer, Rejects]:
    """The framer of a section as people write it, and where it counts."""
    rejects = Rejects()
    section: AnyFraming = TypeAdapter(FramingConfig).validate_python(config)
    return build(section, rejects, joins_midway=joins_midway), rejects


def pieces(stream: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted({cut % (len(stream) + 1) for cut in cuts}), len(stream)]
    return (stream[start:end] for start, end in pairwise(edges))


def cobs(content: bytes) -> bytes:
    """COBS as its paper has it, written from the other end: zeros become distances."""
    out = bytearray()
    for block in content.split(b"\0"):
        whole = [block[at : at + 254] for at in range(0, len(block), 254)] or [b""]
        for part in whole:
            out += bytes([len(part) + 1]) + part
        if len(whole[-1]) == 254:
            out += b"\x01"
    return bytes(out)


def slip(content: bytes) -> bytes:
    return content.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")


def dle(content: bytes) -> bytes:
    return re.sub(rb"[\x02\x03\x10]", lambda found: b"\x10" + found[0], content)


def hdlc(content: bytes) -> bytes:
    return re.sub(rb"[\x5b\x5d\x7d]", lambda found: bytes([0x7D, found[0][0] ^ 0x20]), content)


def crc32(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little")


def xor_hex(content: bytes) -> bytes:
    return b"*%02X" % reduce(xor, content, 0)


JUNK = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"\n", b"\r\n", b"END", b"\0", b"\xc0", b"\xdb", b"\xaa\x55", b"\x68"]),
    st.sampled_from([b"\x02", b"\x03", b"\x10", b"<<", b"/>", b"[", b"]", b"}", b"x" * 60]),
)
STREAMS = st.lists(JUNK, max_size=30).map(b"".join)


@dataclass(frozen=True)
class Framing:
    """`wrap` makes a frame of what it may hold, and `content` is that as a decoder sees it."""

    name: str
    config: dict[str, object]
    payloads: st.SearchStrategy[bytes]
    wrap: Callable[[bytes], bytes]
    content: Callable[[bytes], bytes] = lambda payload: payload

    @property
    def traffic(self) -> st.SearchStrategy[bytes]:
        """Frames, frames cut short, and garbage, one behind the other."""
        frames = self.payloads.map(self.wrap)
        cut = st.tuples(frames, st.integers(0, 20)).map(lambda drawn: drawn[0][: -drawn[1] or None])
        return st.lists(st.one_of(frames, frames, cut, JUNK), max_size=20).map(b"".join)

    def __repr__(self) -> str:
        return self.name


CRC32 = {"name": "crc-32", "byte_order": "little"}
ANY = st.binary(min_size=1, max_size=20)
TEXT = st.text("abcdefgh 0123=.", min_size=1, max_size=20).map(str.encode)
EIGHT = st.binary(min_size=8, max_size=8)

FRAMINGS = [
    Framing("line", {"type": "line"}, TEXT, lambda text: text + b"\r\n"),
    Framing(
        "nmea",
        {"type": "line", "checksum": {"name": "xor", "encoding": "hex", "separator": "*"}},
        TEXT,
        lambda text: text + xor_hex(text) + b"\r\n",
    ),
    Framing(
        "delimiter", {"type": "delimiter", "delimiter": "END"}, TEXT, lambda text: text + b"END"
    ),
    Framing("cobs", {"type": "cobs"}, ANY, lambda content: cobs(content) + b"\0"),
    Framing(
        "cobs with crc",
        {"type": "cobs", "checksum": CRC32},
        ANY,
        lambda content: cobs(content + crc32(content)) + b"\0",
    ),
    Framing("slip", {"type": "slip"}, ANY, lambda content: b"\xc0" + slip(content) + b"\xc0"),
    Framing(
        "fixed length with start",
        {"type": "fixed_length", "length": 10, "start": "hex:AA 55"},
        st.text("0123456789", min_size=8, max_size=8).map(str.encode),
        lambda content: b"\xaa\x55" + content,
        lambda content: b"\xaa\x55" + content,
    ),
    Framing(
        "fixed length with crc",
        {"type": "fixed_length", "length": 12, "checksum": CRC32},
        EIGHT,
        lambda content: content + crc32(content),
    ),
    Framing(
        "length field",
        {
            "type": "length_field",
            "start": "hex:68",
            "offset": 1,
            "size": 2,
            "byte_order": "little",
            "adds": 7,
            "checksum": CRC32,
        },
        ANY,
        lambda body: (content := b"\x68" + len(body).to_bytes(2, "little") + body) + crc32(content),
        lambda body: b"\x68" + len(body).to_bytes(2, "little") + body,
    ),
    Framing(
        "start and end",
        {"type": "start_end", "start": "hex:02", "end": "hex:03"},
        TEXT,
        lambda text: b"\x02" + text + b"\x03",
    ),
    Framing(
        "start and end of several bytes",
        {"type": "start_end", "start": "<<", "end": "/>"},
        TEXT,
        lambda text: b"<<" + text + b"/>",
    ),
    Framing(
        "dle",
        {"type": "start_end", "start": "hex:02", "end": "hex:03", "escape": "hex:10"},
        ANY,
        lambda content: b"\x02" + dle(content) + b"\x03",
    ),
    Framing(
        "escape with xor and crc",
        {
            "type": "start_end",
            "start": "[",
            "end": "]",
            "escape": "}",
            "escape_xor": 32,
            "checksum": CRC32,
        },
        ANY,
        lambda content: b"[" + hdlc(content + crc32(content)) + b"]",
    ),
    Framing(
        "checksum behind the end",
        {
            "type": "start_end",
            "start": "hex:02",
            "end": "hex:03",
            "covers_end": True,
            "checksum": {"name": "xor"},
        },
        TEXT,
        lambda text: b"\x02" + text + b"\x03" + bytes([reduce(xor, text + b"\x03", 0)]),
    ),
]

CUTS = st.lists(st.integers(min_value=0), max_size=20)
