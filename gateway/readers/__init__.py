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
from gateway.readers.asking import Asking
from gateway.readers.command import CommandConfig, CommandPort
from gateway.readers.decoded import Decoded
from gateway.readers.host import HostConfig, HostReader
from gateway.readers.line import Line
from gateway.readers.modbus import Buses, ModbusConfig, ModbusReader
from gateway.readers.polling import Polling
from gateway.readers.reader import (
    READ_TIMEOUT_S,
    WRITE_TIMEOUT_S,
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
from gateway.readers.serial_config import SerialConfig
from gateway.readers.serial_port import SerialPort
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
    cut = framing or LineConfig(type="line")
    port: BytePort
    line, asking, joins_midway = None, None, False
    match config:
        case HostConfig():
            return HostReader(config.interval_s, clock=clock)
        case ModbusConfig():
            return ModbusReader(config, (buses or Buses()).of(config), clock=clock)
        case SerialConfig():
            name, port = config.title, serial_line(config)
            line, asking = _spoken_to(port, config)
            joins_midway = asking is None
        case CommandConfig():
            name, port = config.command[0], CommandPort(config)
        case ReplayConfig():
            file = SHIPPED if config.file is None else Path(config.file)
            between = b"\n" if isinstance(cut, LineConfig) else b""
            name = str(file)
            port = ReplayPort(file, speed=config.speed, repeat=config.repeat, between=between)
        case _:
            assert_never(config)
    if decoder is None:
        raise ConfigError(f"{name} speaks bytes: it needs a decoder, as in {{type: key_value}}")
    rejects = Rejects()
    framer = build_framer(cut, rejects, joins_midway=joins_midway)
    decode = build_decoder(decoder)
    return Decoded(name, port, framer, rejects, decode, clock, line=line, asking=asking)


def _spoken_to(port: TwoWayPort, config: SerialConfig) -> tuple[Line, Asking | None]:
    if config.poll is None:
        return Line(port, config.write_pause_s), None
    patience_s = config.poll.timeout_s + config.write_pause_s + WRITE_TIMEOUT_S
    line = Line(port, config.write_pause_s, patience_s)
    return line, Asking(Polling(config.poll), line)


def serial_line(config: SerialConfig) -> TwoWayPort:
    """The port that a serial section names, not yet open."""
    if config.port is not None and urlsplit(config.port).scheme == "socket":
        return TcpPort(config.port)
    return SerialPort(config)


def describer(config: ReaderConfig) -> Callable[[str], Mapping[str, str]]:
    """What a reader knows of its points by itself: a function from point to name and unit."""
    return host.describe if isinstance(config, HostConfig) else lambda _point: {}
