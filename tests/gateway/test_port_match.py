"""Which port a config means that names none."""

import pytest
from pydantic import ValidationError

from gateway.errors import ReaderError
from gateway.port_list import FoundPort
from gateway.readers.port_match import MatchConfig, matching_port

FTDI = FoundPort(
    "/dev/ttyUSB0",
    vendor_id=0x0403,
    product_id=0x6001,
    serial_number="A50285BI",
    location="1-1.2",
    stable_name="/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0",
)
CH340 = FoundPort("/dev/ttyUSB1", vendor_id=0x1A86, product_id=0x7523, location="1-1.3")
TWIN = FoundPort("/dev/ttyUSB2", vendor_id=0x1A86, product_id=0x7523, location="1-1.4")
BOARD = FoundPort("/dev/ttyS0")
PORTS = [BOARD, FTDI, CH340, TWIN]


@pytest.mark.parametrize(
    ("match", "device"),
    [
        ({"usb": "0403:6001"}, "/dev/ttyUSB0"),
        ({"serial_number": "A50285BI"}, "/dev/ttyUSB0"),
        ({"by_id": "usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"}, "/dev/ttyUSB0"),
        ({"by_id": "usb-FTDI_*"}, "/dev/ttyUSB0"),
        ({"usb": "1A86:7523", "location": "1-1.4"}, "/dev/ttyUSB2"),
    ],
)
def test_the_port_that_fits_in_all_is_meant(match: dict[str, str], device: str) -> None:
    assert matching_port(MatchConfig.model_validate(match), PORTS) == device


@pytest.mark.parametrize(
    ("match", "reason"),
    [
        (
            {"usb": "1a86:7523"},
            "several serial ports have usb 1a86:7523: /dev/ttyUSB1, /dev/ttyUSB2; say in `match`",
        ),
        (
            {"usb": "1a86:7523", "serial_number": "A50285BI"},
            "there is no serial port with usb 1a86:7523, serial number A50285BI: is it plugged in",
        ),
        ({"by_id": "usb-Prolific*"}, "there is no serial port with by id usb-Prolific"),
    ],
)
def test_none_or_several_are_a_sentence(match: dict[str, str], reason: str) -> None:
    with pytest.raises(ReaderError, match=reason):
        matching_port(MatchConfig.model_validate(match), PORTS)


@pytest.mark.parametrize(
    ("match", "reason"),
    [
        ({}, "needs usb, serial_number, by_id or location"),
        ({"usb": "ttyUSB0"}, "must be vendor and product in hexadecimal digits, as in 0403:6001"),
    ],
)
def test_a_match_that_can_not_be_is_refused(match: dict[str, str], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        MatchConfig.model_validate(match)
