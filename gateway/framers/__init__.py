"""Framers: a stream of bytes in, frames out. Pure: no I/O, no clock.

A framer is a class in one of these files beside its config section; `build` is where the two
meet. Frames of a sort share a file: delimited (lines, COBS, SLIP too), enclosed, sized, idle_gap.
"""

from __future__ import annotations

from typing import Annotated, assert_never

from pydantic import Field

from gateway.byte_text import bytes_of
from gateway.framers.checksum import Checksum
from gateway.framers.delimited import (
    CobsConfig,
    DelimitedFramer,
    DelimiterConfig,
    LineConfig,
    SlipConfig,
)
from gateway.framers.enclosed import EnclosedFramer, StartEndConfig
from gateway.framers.framer import JOINING, BadFrame, Framer, Rejects
from gateway.framers.idle_gap import IdleGapConfig, IdleGapFramer
from gateway.framers.sized import FixedLengthConfig, LengthFieldConfig, SizedFramer
from gateway.framers.stuffing import COBS_END, SLIP_END, cobs_decoded, slip_decoded

__all__ = [
    "JOINING",
    "AnyFraming",
    "BadFrame",
    "Framer",
    "FramingConfig",
    "LineConfig",
    "Rejects",
    "build",
]

AnyFraming = (
    LineConfig
    | DelimiterConfig
    | FixedLengthConfig
    | LengthFieldConfig
    | StartEndConfig
    | IdleGapConfig
    | CobsConfig
    | SlipConfig
)
FramingConfig = Annotated[AnyFraming, Field(discriminator="type")]


def build(config: AnyFraming, rejects: Rejects, *, joins_midway: bool = True) -> Framer:
    """The framer that a config section asks for, which counts bad frames in `rejects`.

    `joins_midway=False` is for streams that are known to start at the beginning of a frame.
    """
    checksum = Checksum(config.checksum) if config.checksum else None
    longest = config.max_bytes
    match config:
        case LineConfig():
            return DelimitedFramer(
                rejects, max_bytes=longest, checksum=checksum, joins_midway=joins_midway
            )
        case DelimiterConfig():
            return DelimitedFramer(
                rejects,
                delimiter=bytes_of(config.delimiter),
                max_bytes=longest,
                checksum=checksum,
                joins_midway=joins_midway,
            )
        case CobsConfig() | SlipConfig():
            is_cobs = config.type == "cobs"
            return DelimitedFramer(
                rejects,
                delimiter=COBS_END if is_cobs else SLIP_END,
                max_bytes=longest,
                checksum=checksum,
                decoded=cobs_decoded if is_cobs else slip_decoded,
                joins_midway=joins_midway,
            )
        case FixedLengthConfig() | LengthFieldConfig():
            return SizedFramer(
                rejects,
                config.counted,
                start=bytes_of(config.start) if config.start else b"",
                max_bytes=longest,
                checksum=checksum,
                joins_midway=joins_midway,
            )
        case StartEndConfig():
            return EnclosedFramer(
                rejects,
                bytes_of(config.start),
                bytes_of(config.end),
                escape=bytes_of(config.escape) if config.escape else b"",
                escape_xor=config.escape_xor,
                max_bytes=longest,
                checksum=checksum,
                covers_end=config.covers_end,
            )
        case IdleGapConfig():
            return IdleGapFramer(
                rejects,
                config.gap_ms / 1000,
                max_bytes=longest,
                checksum=checksum,
                joins_midway=joins_midway,
            )
        case _:
            assert_never(config)
