"""JSON objects: `{"temperature": 21.5, "pump": {"on": true}}`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from gateway.decoders.decoder import MAX_INTEGER_DIGITS, TextSection, text_of
from gateway.errors import DecodeError
from gateway.measurement import Value

MAX_DEPTH = 8
"""How deep objects and arrays may nest: deeper is no measurement, and names would be endless."""


class JsonConfig(TextSection):
    """`decoder: {type: json}`"""

    type: Literal["json"]


class JsonDecoder:
    """One object per frame. What is nested becomes flat: `pump_on`, and of an array `level_0`.

    NaN and Infinity are taken, because many devices print them. Strings stay strings: `"21.5"`
    is text.
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        self._encoding = encoding

    def decode(self, frame: bytes) -> Mapping[str, Value]:
        text = text_of(frame, self._encoding)
        try:
            top = json.loads(text, parse_int=_integer)
        except json.JSONDecodeError as error:
            raise DecodeError(f"is no JSON: {error.msg} at place {error.pos + 1}") from None
        except RecursionError:
            raise DecodeError(_TOO_DEEP) from None
        if not isinstance(top, dict):
            raise DecodeError('is JSON, but no object such as {"temperature": 21.5}')
        fields = dict(_flat("", top.items(), MAX_DEPTH))
        if "\\u" in text:
            _check_surrogates(fields)
        return fields


_TOO_DEEP = f"nests deeper than {MAX_DEPTH} levels"


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits.lstrip("-")) <= MAX_INTEGER_DIGITS else digits


def _flat(
    prefix: str, items: Iterable[tuple[object, object]], levels: int
) -> Iterator[tuple[str, Value]]:
    if not levels:
        raise DecodeError(_TOO_DEEP)
    for key, value in items:
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(f"{name}_", value.items(), levels - 1)
        elif isinstance(value, list):
            yield from _flat(f"{name}_", enumerate(value), levels - 1)
        elif value is None or isinstance(value, bool | int | float | str):
            yield name, value


def _check_surrogates(fields: Mapping[str, Value]) -> None:
    for name, value in fields.items():
        try:
            f"{name}{value}".encode()
        except UnicodeEncodeError:
            raise DecodeError("is JSON with half a surrogate pair, which is no text") from None
