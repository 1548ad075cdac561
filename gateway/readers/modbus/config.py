"""What a modbus section may say."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from gateway.points.names import MAX_SLUG_CHARACTERS, RESERVED_POINTS
from gateway.readers.modbus.register import RegisterConfig
from gateway.section import Section

SCHEMES = ("tcp", "rtu+tcp")

MAX_REGISTERS = 256


def _check_port(port: str) -> str:
    if "\0" in port:
        raise ValueError("holds a NUL character")
    if "://" not in port:
        return port
    url = urlsplit(port)
    if url.scheme not in SCHEMES:
        raise ValueError(
            "must be a device as in /dev/ttyUSB0, or tcp://host:502 (Modbus TCP), or"
            " rtu+tcp://host:port (RTU behind a serial server)"
        )
    try:
        number = url.port
    except ValueError:
        number = None
    if not url.hostname or not number:
        raise ValueError(f"must name host and port, as in {url.scheme}://192.168.1.20:502")
    return port


def _check_point(name: str) -> str:
    if name in RESERVED_POINTS:
        raise ValueError(f"is a topic of the gateway's own: any name but {name}")
    return name


class ModbusConfig(Section):
    """`reader: {type: modbus, port: /dev/ttyUSB0, unit: 3, registers: {…}}`"""

    type: Literal["modbus"]
    port: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_check_port)] = Field(
        description="A serial device as in /dev/ttyUSB0, tcp://host:502, or rtu+tcp://host:port."
        " Devices with the same port share it.",
        examples=["/dev/ttyUSB0", "tcp://192.168.1.20:502"],
    )
    unit: Annotated[int, Field(ge=0, le=255)] = Field(
        default=1, description="The device's address on the bus, 1 to 247 on a serial line."
    )
    registers: dict[
        Annotated[
            str,
            Field(pattern=r"^[a-z0-9_-]+$", max_length=MAX_SLUG_CHARACTERS),
            AfterValidator(_check_point),
        ],
        RegisterConfig,
    ] = Field(
        min_length=1, max_length=MAX_REGISTERS, description="Where each point lies, by its name."
    )
    every_s: Annotated[float, Field(ge=0.05, le=86_400)] = Field(
        default=1.0, description="Seconds between two readings of all registers."
    )
    timeout_s: Annotated[float, Field(ge=0.05, le=10)] = Field(
        default=1.0, description="How long the device may take to answer, in seconds."
    )
    max_gap: Annotated[int, Field(ge=0, le=100)] = Field(
        default=0,
        description="Registers nobody asked for that may be read along, to save a request; many"
        " devices refuse those that they don't have.",
    )
    baudrate: Annotated[int, Field(ge=50, le=4_000_000)] = Field(
        default=9600, description="Bits per second, of a serial line."
    )
    parity: Literal["none", "even", "odd"] = Field(
        default="none", description="The parity bit of a character, of a serial line."
    )
    stopbits: Literal[1, 2] = Field(default=1, description="Stop bits, of a serial line.")

    @property
    def line(self) -> tuple[str, int, str, int]:
        """What all devices on one port must agree on."""
        return self.port, self.baudrate, self.parity, self.stopbits
