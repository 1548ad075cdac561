"""Pairs: `T=21.5 P=1013 PUMP=on`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.decoders.decoder import TextSection, text_of, value_of
from gateway.errors import DecodeError
from gateway.measurement import Value


class KeyValueConfig(TextSection):
    """`decoder: {type: key_value}`"""

    type: Literal["key_value"]
    pair_separators: Annotated[str, Field(min_length=1, max_length=16)] = Field(
        default=" ,;\t", description="Characters of which each ends a pair."
    )
    assignments: Annotated[str, Field(min_length=1, max_length=16)] = Field(
        default="=:", description="Characters of which each stands between a key and its value."
    )

    @model_validator(mode="after")
    def _characters_mean_one_thing(self) -> KeyValueConfig:
        if both := set(self.pair_separators) & set(self.assignments):
            raise ValueError(
                f"pair_separators and assignments both hold {''.join(sorted(both))!r}:"
                " a character is one or the other"
            )
        return self


class KeyValueDecoder:
    """Pairs in any order and number; `T=21.5`, `T = 21.5` and `T: 21.5` are the same.

    The first assignment character of a pair counts: `at=12:30` is the text 12:30. A key without
    a value has none (`T=` is None). Words that belong to no pair (`OK`, a unit) are passed over;
    a frame without any pair is an error. Blanks end a value only where `pair_separators` holds
    the space: with `;` alone, `mode=half open` is one pair.
    """

    def __init__(
        self, pair_separators: str = " ,;\t", assignments: str = "=:", *, encoding: str = "utf-8"
    ) -> None:
        self._encoding = encoding
        blanks = "".join(sorted(set(pair_separators) & set(" \t")))
        hard = "".join(sorted(set(pair_separators) - set(" \t")))
        self._hard = re.compile(f"[{re.escape(hard)}]") if hard else None
        self._blanks = re.compile(f"[{re.escape(blanks)}]+") if blanks else None
        self._assignment = re.compile(f"[{re.escape(assignments)}]")

    def decode(self, frame: bytes) -> Mapping[str, Value]:
        text = text_of(frame, self._encoding)
        fields: dict[str, Value] = {}
        for piece in self._hard.split(text) if self._hard else (text,):
            for key, value in self._pairs(piece):
                fields[key] = value_of(value)
        if not fields:
            raise DecodeError("holds no pair, such as T=21.5")
        return fields

    def _pairs(self, piece: str) -> Iterator[tuple[str, str]]:
        """The pairs between two hard separators; blanks around an assignment are allowed."""
        words = self._blanks.split(piece) if self._blanks else (piece,)
        word_before = ""  # may be the key, if the assignment comes next
        open_key = ""  # has had its assignment, and waits for the value
        for word in words:
            key, assigned, value = self._cut(word)
            if not word:
                continue
            if not assigned or (open_key and value and key.isdigit()):  # as in `at: 12:30`
                if open_key:
                    yield open_key, word
                    open_key = word_before = ""
                else:
                    word_before = word
                continue
            if open_key:
                yield open_key, ""
            key, open_key, word_before = key or word_before, "", ""
            if not key:
                continue
            if value:
                yield key, value
            else:
                open_key = key
        if open_key:
            yield open_key, ""

    def _cut(self, word: str) -> tuple[str, bool, str]:
        found = self._assignment.search(word)
        if found is None:
            return word, False, ""
        return word[: found.start()].strip(), True, word[found.end() :].strip()
