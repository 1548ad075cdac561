"""Anything else: named groups, `T (?P<temperature>[-.0-9]+)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import regex
from pydantic import AfterValidator, Field

from gateway.decoders.decoder import TextSection, text_of, value_of
from gateway.errors import DecodeError
from gateway.measurement import Value


def _check_pattern(pattern: str) -> str:
    try:
        compiled = regex.compile(pattern)
    except (regex.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression: {error}") from None
    if not compiled.groupindex:
        raise ValueError("has no named group, as in (?P<temperature>[-.0-9]+)")
    return pattern


class RegexConfig(TextSection):
    """`decoder: {type: regex, pattern: 'T (?P<temperature>[-.0-9]+)'}`"""

    type: Literal["regex"]
    pattern: Annotated[str, Field(max_length=1000), AfterValidator(_check_pattern)] = Field(
        description="A Python regular expression that matches somewhere in the line; its named"
        " groups become fields."
    )


MATCH_S = 0.1
"""How long one frame may be searched: repeats inside repeats, as in (a+)+, could take for ever."""


class RegexDecoder:
    """The first place in the frame where the pattern matches; groups that took no part are absent.

    The package `regex` and not `re`, which can't be interrupted and lets nobody else run.
    """

    def __init__(self, pattern: str, *, encoding: str = "utf-8") -> None:
        self._encoding = encoding
        self._pattern = regex.compile(pattern)

    def decode(self, frame: bytes) -> Mapping[str, Value]:
        try:
            found = self._pattern.search(
                text_of(frame, self._encoding), timeout=MATCH_S, concurrent=True
            )
        except TimeoutError:
            raise DecodeError(
                f"takes the pattern more than {MATCH_S} s: avoid repeats inside repeats"
            ) from None
        if found is None:
            raise DecodeError("doesn't match the pattern")
        fields = {
            name: value_of(text) for name, text in found.groupdict().items() if text is not None
        }
        if not fields:
            raise DecodeError("matches the pattern, but none of its named groups")
        return fields
