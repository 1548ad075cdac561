"""What a serial section may say."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.readers.polling import PollConfig
from gateway.readers.port_match import MatchConfig
from gateway.section import Section

URL_SCHEMES = ("socket", "rfc2217", "loop")

Delay = Annotated[float, Field(ge=0, le=1)]


def _check_stopbits(stopbits: float) -> float:
    if stopbits not in (1, 1.5, 2):
        raise ValueError("must be 1, 1.5 or 2")
    return stopbits


def _check_port(port: str) -> str:
    if "\0" in port:
        raise ValueError("holds a NUL character")
    if "://" not in port:
        return port
    url = urlsplit(port)
    if url.scheme not in URL_SCHEMES:
        raise ValueError(
            "must be a device as in /dev/ttyUSB0, or begin with"
            f" {', '.join(f'{scheme}://' for scheme in URL_SCHEMES)}"
        )
    if url.scheme == "loop":
        return port
    try:
        number = url.port
    except ValueError:
        number = None
    if not url.hostname or not number:
        raise ValueError(f"must name host and port, as in {url.scheme}://192.168.1.20:4001")
    return port


class Rs485Config(Section):
    """`rs485: {delay_before_tx_s: 0.002}`: the kernel's driver switches the direction."""

    rts_level_for_tx: bool = Field(default=True, description="The level of RTS while sending.")
    rts_level_for_rx: bool = Field(default=False, description="The level of RTS while listening.")
    loopback: bool = Field(default=False, description="Hear what is sent.")
    delay_before_tx_s: Delay = Field(default=0.0, description="From the switching to the sending.")
    delay_before_rx_s: Delay = Field(default=0.0, description="From the sending to the switching.")


class SerialConfig(Section):
    """`reader: {type: serial, port: /dev/ttyUSB0, baudrate: 9600}`"""

    type: Literal["serial"]
    port: (
        Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_check_port)] | None
    ) = Field(
        default=None,
        description="A device as in /dev/ttyUSB0, or socket://host:port, rfc2217://host:port.",
    )
    match: MatchConfig | None = Field(
        default=None,
        description="Which USB adapter, instead of `port`: looked for at each opening, because"
        " ttyUSB0 is whoever was plugged in first.",
    )
    baudrate: Annotated[int, Field(ge=50, le=4_000_000)] = Field(
        default=9600, description="Bits per second, as the device's manual says."
    )
    bytesize: Literal[5, 6, 7, 8] = Field(default=8, description="Data bits of a character.")
    parity: Literal["none", "even", "odd", "mark", "space"] = Field(
        default="none", description="The parity bit of a character."
    )
    stopbits: Annotated[float, AfterValidator(_check_stopbits)] = Field(
        default=1, description="Stop bits after a character: 1, 1.5 or 2."
    )
    rtscts: bool = Field(default=False, description="Flow control by the lines RTS and CTS.")
    xonxoff: bool = Field(default=False, description="Flow control by the characters XON and XOFF.")
    exclusive: bool = Field(
        default=True, description="Let no other program open the port while we have it."
    )
    rs485: Rs485Config | None = Field(
        default=None, description="Half duplex by the kernel's driver, where it knows RS-485."
    )
    write_pause_s: Annotated[float, Field(ge=0, le=2)] = Field(
        default=0.02, description="The least time between two writes, in seconds."
    )
    poll: PollConfig | None = Field(
        default=None, description="What to ask a device that only answers, and how often."
    )

    @property
    def title(self) -> str:
        """What people call it."""
        return self.port or f"the port with {self.match}"

    @property
    def is_url(self) -> bool:
        """Whether it is reached over the network, or not at all."""
        return self.port is not None and "://" in self.port

    @model_validator(mode="after")
    def _is_one_port(self) -> SerialConfig:
        if (self.port is None) == (self.match is None):
            raise ValueError(
                "needs either a port, as in port: /dev/ttyUSB0, or match, as in"
                ' match: {usb: "0403:6001"}'
            )
        if self.is_url and self.rs485 is not None:
            raise ValueError("rs485 is for a serial device of this machine: take it away")
        return self
