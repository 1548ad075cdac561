"""Serial lines, by pyserial: a device node, or socket://, rfc2217:// and loop:// of its own."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.section import Section


def _check_stopbits(stopbits: float) -> float:
    if stopbits not in (1, 1.5, 2):
        raise ValueError("must be 1, 1.5 or 2")
    return stopbits


class SerialConfig(Section):
    """`reader: {type: serial, port: /dev/ttyUSB0, baudrate: 9600}`"""

    type: Literal["serial"]
    port: str = Field(min_length=1)
    baudrate: Annotated[int, Field(ge=50, le=4_000_000)] = 9600
    bytesize: Literal[5, 6, 7, 8] = 8
    parity: Literal["none", "even", "odd", "mark", "space"] = "none"
    stopbits: Annotated[float, AfterValidator(_check_stopbits)] = 1
    rtscts: bool = False
    xonxoff: bool = False
