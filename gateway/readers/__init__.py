"""Readers: ways to hardware. They block, know no MQTT, and each lives in a thread of its own.

A reader is a file in this folder with a config section and a class; `build` is where the two
meet. Bytes go port → framer → decoder; a reader that has values at once, like `host`, needs
neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, assert_never
from urllib.parse import urlsplit

from pydantic import Field

from gateway.decoders import AnyDecoder
from gateway.decoders import build as build_decoder
from gateway.errors import ConfigError
from gateway.framers import AnyFraming, LineConfig, Rejects
from gateway.framers import build as build_framer
from gateway.readers import host
from gateway.readers.command import CommandConfig, CommandPort
from gateway.readers.decoded import Decoded
from gateway.readers.host import HostConfig, HostReader
from gateway.readers.modbus import Buses, ModbusConfig, ModbusReader
from gateway.readers.reader import (
    READ_TIMEOUT_S,
    BytePort,
    Clock,
    Content,
    KeepsBadFrames,
    Reader,
    Rejecting,
    TwoWayPort,
    Writing,
    wall_clock_ms,
)
from gateway.readers.replay import SHIPPED, ReplayConfig, ReplayPort
from gateway.readers.serial_port import SerialConfig, SerialPort
from gateway.readers.tcp_port import TcpPort

__all__ = [
    "READ_TIMEOUT_S",
    "Buses",
    "BytePort",
    "Clock",
    "Content",
    "KeepsBadFrames",
    "Reader",
    "ReaderConfig",
    "Rejecting",
    "Writing",
    "build",
    "describer",
    "serial_line",
    "wall_clock_ms",
]

ReaderConfig = Annotated[
    HostConfig | SerialConfig | ModbusConfig | CommandConfig | ReplayConfig,
    Field(discriminator="type"),
]


def build(
    config: HostConfig | SerialConfig | ModbusConfig | CommandConfig | ReplayConfig,
    decoder: AnyDecoder | None = None,
    *,
    framing: AnyFraming | None = None,
    buses: Buses | None = None,
    clock: Clock = wall_clock_ms,
) -> Reader:
    """The reader that a config section asks for, not yet open.

    `framing` is how bytes become frames, by lines where it isn't given. Devices of the same
    `buses` share the lines that they have in common. Raises ConfigError where a decoder is
    missing; paths in the config are taken as they are.
    """
    say: Callable[[bytes], None] | None = None
    port: BytePort
    match config:
        case HostConfig():
            return HostReader(config.interval_s, clock=clock)
        case ModbusConfig():
            return ModbusReader(config, (buses or Buses()).of(config), clock=clock)
        case SerialConfig():
            line = serial_line(config)
            name, port, joins_midway, say = config.port, line, True, line.write
        case CommandConfig():
            name, port, joins_midway = config.command[0], CommandPort(config), False
        case ReplayConfig():
            file = SHIPPED if config.file is None else Path(config.file)
            port = ReplayPort(file, speed=config.speed, repeat=config.repeat)
            name, joins_midway = str(file), False
        case _:
            assert_never(config)
    if decoder is None:
        raise ConfigError(f"{name} speaks bytes: it needs a decoder, as in {{type: key_value}}")
    rejects = Rejects()
    framer = build_framer(framing or LineConfig(type="line"), rejects, joins_midway=joins_midway)
    return Decoded(name, port, framer, rejects, build_decoder(decoder), clock, say=say)


def serial_line(config: SerialConfig) -> TwoWayPort:
    """The port that a serial section names, not yet open."""
    if urlsplit(config.port).scheme == "socket":
        return TcpPort(config.port)
    return SerialPort(config)


def describer(config: ReaderConfig) -> Callable[[str], Mapping[str, str]]:
    """What a reader knows of its points by itself: a function from point to name and unit."""
    return host.describe if isinstance(config, HostConfig) else lambda _point: {}
