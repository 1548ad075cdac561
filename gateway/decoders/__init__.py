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
from gateway.decoders.struct import StructConfig, StructDecoder

__all__ = ["AnyDecoder", "Decoder", "DecoderConfig", "build"]

AnyDecoder = JsonConfig | KeyValueConfig | CsvConfig | RegexConfig | StructConfig
DecoderConfig = Annotated[AnyDecoder, Field(discriminator="type")]


def build(config: AnyDecoder) -> Decoder:
    """The decoder that a config section asks for."""
    match config:
        case JsonConfig():
            return JsonDecoder(config.encoding)
        case KeyValueConfig():
            return KeyValueDecoder(
                config.pair_separators, config.assignments, encoding=config.encoding
            )
        case CsvConfig():
            return CsvDecoder(config.columns, config.delimiter, encoding=config.encoding)
        case RegexConfig():
            return RegexDecoder(config.pattern, encoding=config.encoding)
        case StructConfig():
            return StructDecoder(
                config.format,
                config.names,
                config.byte_order,
                repeated=config.repeated,
                encoding=config.encoding,
            )
        case _:
            assert_never(config)
