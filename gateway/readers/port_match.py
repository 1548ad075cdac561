"""Which serial port is meant, by what stays the same: ttyUSB0 is whoever was plugged in first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from gateway.errors import ReaderError
from gateway.port_list import FoundPort
from gateway.section import Section

Text = Annotated[str, Field(min_length=1, max_length=200)]


def _check_usb(usb: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{4}", usb):
        raise ValueError("must be vendor and product in hexadecimal digits, as in 0403:6001")
    return usb.lower()


class MatchConfig(Section):
    """`match: {usb: "0403:6001", serial_number: A50285BI}`: all that is given must fit."""

    usb: Annotated[Text, AfterValidator(_check_usb)] | None = Field(
        default=None, description="Vendor and product, as in 0403:6001.", examples=["0403:6001"]
    )
    serial_number: Text | None = Field(default=None, description="The USB serial number.")
    by_id: Text | None = Field(
        default=None,
        description="The name in /dev/serial/by-id; * stands for any characters.",
        examples=["usb-FTDI_*"],
    )
    location: Text | None = Field(
        default=None,
        description="The USB socket that it is plugged into, as in 1-1.2: for adapters that are"
        " all alike.",
    )

    @model_validator(mode="after")
    def _says_something(self) -> MatchConfig:
        if not self.model_dump(exclude_none=True):
            raise ValueError("needs usb, serial_number, by_id or location")
        return self

    def __str__(self) -> str:
        known = self.model_dump(exclude_none=True)
        return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in known.items())

    def fits(self, port: FoundPort) -> bool:
        """Whether a port is what is meant."""
        name = PurePath(port.stable_name).name
        return (
            (self.usb is None or self.usb == port.usb)
            and (self.serial_number is None or self.serial_number == port.serial_number)
            and (self.by_id is None or fnmatchcase(name, self.by_id))
            and (self.location is None or self.location == port.location)
        )


def matching_port(match: MatchConfig, ports: Sequence[FoundPort]) -> str:
    """The device of the one port that fits; raises ReaderError where none does, or several do."""
    fitting = [port.device for port in ports if match.fits(port)]
    match fitting:
        case [device]:
            return device
        case []:
            raise ReaderError(
                f"there is no serial port with {match}: is it plugged in?"
                " `fieldgate ports` lists what there is"
            )
        case _:
            raise ReaderError(
                f"several serial ports have {match}: {', '.join(fitting)};"
                " say in `match` what only one of them has, as its location"
            )
