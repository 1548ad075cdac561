"""Anything else: named groups, `T (?P<temperature>[-.0-9]+)`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.decoders.decoder import text_of, value_of
from gateway.errors import DecodeError
from gateway.measurement import Value
from gateway.section import Section


def _check_pattern(pattern: str) -> str:
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression: {error}") from None
    if not compiled.groupindex:
        raise ValueError("has no named group, as in (?P<temperature>[-.0-9]+)")
    return pattern


class RegexConfig(Section):
    """`decoder: {type: regex, pattern: 'T (?P<temperature>[-.0-9]+)'}`"""

    type: Literal["regex"]
    pattern: Annotated[str, Field(max_length=1000), AfterValidator(_check_pattern)] = Field(
        description="A Python regular expression that matches somewhere in the line; its named"
        " groups become fields. Avoid repeats inside repeats, as in (a+)+."
    )


class RegexDecoder:
    """The first place in the frame where the pattern matches; groups that took no part are absent.

    Python's matcher can't be interrupted, so its only bound is the length of a line: repeats
    inside repeats, as in `(a+)+`, may take for ever on a line that almost matches.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)

    def decode(self, frame: bytes) -> Mapping[str, Value]:
        found = self._pattern.search(text_of(frame))
        if found is None:
            raise DecodeError("doesn't match the pattern")
        fields = {
            name: value_of(text) for name, text in found.groupdict().items() if text is not None
        }
        if not fields:
            raise DecodeError("matches the pattern, but none of its named groups")
        return fields
