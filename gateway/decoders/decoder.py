"""What every decoder is, and the reading of text and numbers that they share."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from typing import Annotated, Protocol

from pydantic import AfterValidator, Field

from gateway.errors import DecodeError
from gateway.measurement import Value
from gateway.section import Section


class Decoder(Protocol):
    """What makes values of a frame."""

    def decode(self, frame: bytes) -> Mapping[str, Value]:
        """The fields of one frame; raises DecodeError, which says what about it is wrong."""


MAX_NUMBER_CHARACTERS = 64
"""A longer run of digits is no measurement; it stays text, so nothing slow is ever parsed."""

MAX_INTEGER_DIGITS = 18
"""What fits 64 bits; a longer integer (a serial number) stays text, so that no digit is lost."""

_INTEGER = re.compile(r"[+-]?0*[0-9]{1,18}", re.ASCII)
_FLOAT = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|nan|inf|infinity)",
    re.ASCII | re.IGNORECASE,
)
_BOOLEANS = {"true": True, "false": False}


_NO_TEXT = frozenset({"idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"})


def _check_encoding(name: str) -> str:
    try:
        codec = codecs.lookup(name)
        "".encode(name)  # refused by those that make no bytes of text
    except (LookupError, ValueError):
        codec = None
    if codec is None or codec.name.replace("-", "_") in _NO_TEXT:
        raise ValueError("is no text encoding that is known, as in utf-8, latin-1 or cp1252")
    return name


Encoding = Annotated[str, Field(max_length=40), AfterValidator(_check_encoding)]


class TextSection(Section):
    """What the section of every decoder of text may say."""

    encoding: Encoding = Field(
        default="utf-8", description="How text is written, as in utf-8, latin-1 or cp1252."
    )


def text_of(frame: bytes, encoding: str = "utf-8") -> str:
    """The frame as text, or DecodeError."""
    try:
        return frame.decode(encoding)
    except UnicodeDecodeError as error:
        raise DecodeError(
            f"is no {encoding.upper()} text: byte 0x{frame[error.start]:02x} at place"
            f" {error.start + 1}; are baudrate and parity right?"
        ) from None


def value_of(text: str) -> Value:
    """What a piece of text stands for.

    Decimal numbers (with a point), `nan` and `inf` become numbers, `true` and `false` booleans,
    nothing becomes None; anything else stays the text that it is: `on`, `open`, `0x1F`, `1_000`,
    `21,5`, an integer of more than 18 digits.
    """
    text = text.strip()
    if not text:
        return None
    if len(text) <= MAX_NUMBER_CHARACTERS:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text) and not text.lstrip("+-").isdigit():
            return float(text)
    return _BOOLEANS.get(text.lower(), text)
