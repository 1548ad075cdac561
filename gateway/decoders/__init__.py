"""Decoders: one frame of bytes in, fields out. Pure: no I/O, no clock, no state.

A decoder is a file in this folder with a config section and a class; `build` is where the two
meet.
"""

from __future__ import annotations

from typing import Annotated, assert_never

from pydantic import Field

from gateway.decoders.csv import CsvConfig, CsvDecoder
from gateway.decoders.decoder import Decoder
from gateway.decoders.json import JsonConfig, JsonDecoder
from gateway.decoders.key_value import KeyValueConfig, KeyValueDecoder
from gateway.decoders.regex import RegexConfig, RegexDecoder

__all__ = ["Decoder", "DecoderConfig", "build"]

DecoderConfig = Annotated[
    JsonConfig | KeyValueConfig | CsvConfig | RegexConfig, Field(discriminator="type")
]


def build(config: JsonConfig | KeyValueConfig | CsvConfig | RegexConfig) -> Decoder:
    """The decoder that a config section asks for."""
    match config:
        case JsonConfig():
            return JsonDecoder()
        case KeyValueConfig():
            return KeyValueDecoder(config.pair_separators, config.assignments)
        case CsvConfig():
            return CsvDecoder(config.columns, config.delimiter)
        case RegexConfig():
            return RegexDecoder(config.pattern)
        case _:
            assert_never(config)
