"""Bytes as people write and read them: text, or hexadecimal digits. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

HEX = "hex:"


def bytes_of(text: str) -> bytes:
    """The bytes that a text stands for; raises ValueError, in a sentence."""
    if not text.startswith(HEX):
        try:
            return text.encode("ascii")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"holds {text[error.start]!r}, which is no ASCII: write the bytes as in hex:AA 55"
            ) from None
    try:
        content = bytes.fromhex(text.removeprefix(HEX))
    except ValueError:
        raise ValueError("must hold pairs of hexadecimal digits after hex:") from None
    if not content:
        raise ValueError("holds no byte")
    return content


def _check(text: str) -> str:
    bytes_of(text)
    return text


ByteText = Annotated[str, Field(min_length=1, max_length=1_024), AfterValidator(_check)]
"""A key of the config that holds bytes; `bytes_of` makes them of it."""


def printable(frame: bytes) -> str:
    """A frame as text that can't play tricks with a terminal; in hexadecimal digits if binary."""
    if sum(byte < 32 and byte not in b"\t\r\n\x1b" for byte in frame) * 4 > len(frame):
        return frame.hex(" ")
    text = frame.decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
