"""The capture format: what a port said, and when, as lines of JSON. Pure.

The first line is the header, `{"capture": 1, "note": "where it comes from"}`; each further line
one chunk, `{"at": 12.345, "text": "T=21.5\\r\\n"}` or, where the bytes are no UTF-8 text,
`{"at": 12.345, "hex": "ff00"}`. `at` is in seconds since the recording began and never goes
back. Empty lines are passed over. The bytes begin where a line does, so a recorder leaves out
what it read before the first line end.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.errors import ReaderError

VERSION = 1

MAX_LINE_CHARACTERS = 64 * 1024
"""Longest line of a capture file, its end included: sixteen times what one read takes."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes as they came, `at_s` seconds after the recording began."""

    at_s: float
    content: bytes


def header_line(note: str = "") -> str:
    """The first line of a capture file."""
    return _line({"capture": VERSION, "note": note})


def chunk_line(chunk: Chunk) -> str:
    """One further line of a capture file."""
    try:
        return _line({"at": round(chunk.at_s, 6), "text": chunk.content.decode()})
    except UnicodeDecodeError:
        return _line({"at": round(chunk.at_s, 6), "hex": chunk.content.hex()})


def chunks(lines: Iterable[str], file: str) -> Iterator[Chunk]:
    """The chunks of a capture, one by one; raises ReaderError that names `file` and the line."""
    at_s = 0.0
    seen_header = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = _entry(line)
            if not seen_header:
                _check_header(entry)
                seen_header = True
                continue
            chunk = _chunk(entry)
            if chunk.at_s < at_s:
                raise ValueError(f"`at` goes back from {at_s} to {chunk.at_s}")
        except ValueError as error:
            raise ReaderError(f"{file}:{number}: {error}") from None
        at_s = chunk.at_s
        yield chunk
    if not seen_header:
        raise ReaderError(f"{file}:1: {_NO_HEADER}")


_NO_HEADER = f'is no capture: its first line must be {{"capture": {VERSION}}}'


def _line(entry: dict[str, object]) -> str:
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _entry(line: str) -> dict[str, object]:
    if len(line) > MAX_LINE_CHARACTERS:
        raise ValueError(f"the line is longer than {MAX_LINE_CHARACTERS} characters")
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the line is no JSON: {error}") from None
    if not isinstance(entry, dict):
        raise ValueError("the line is no JSON object")
    return entry


def _check_header(entry: dict[str, object]) -> None:
    if "capture" not in entry:
        raise ValueError(_NO_HEADER)
    if entry["capture"] != VERSION:
        raise ValueError(f"is a capture of version {entry['capture']!r}, not {VERSION}")


def _chunk(entry: dict[str, object]) -> Chunk:
    at_s, text, digits = entry.get("at"), entry.get("text"), entry.get("hex")
    if isinstance(at_s, bool) or not isinstance(at_s, int | float):
        raise ValueError("`at` must be a number of seconds")
    if not 0 <= at_s < math.inf:
        raise ValueError("`at` must not be negative or endless")
    if isinstance(text, str) and digits is None:
        try:
            return Chunk(float(at_s), text.encode())
        except UnicodeEncodeError:
            raise ValueError("`text` holds what is no UTF-8: write it as `hex`") from None
    if isinstance(digits, str) and text is None:
        try:
            return Chunk(float(at_s), bytes.fromhex(digits))
        except ValueError:
            raise ValueError("`hex` must hold pairs of hexadecimal digits") from None
    raise ValueError("must hold either `text` or `hex`")
