"""The serial ports of this machine, as `fieldgate ports` lists them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

BY_ID = Path("/dev/serial/by-id")

NO_PORTS = (
    "No serial port here. Plug the device in and try again; in a container or a virtual machine"
    " the port must be handed through, as with docker run --device /dev/ttyUSB0."
)


@dataclass(frozen=True, slots=True)
class FoundPort:
    """One port; `stable_name` stays the same whatever is plugged in first."""

    device: str
    description: str = ""
    vendor_id: int | None = None
    product_id: int | None = None
    serial_number: str = ""
    location: str = ""
    stable_name: str = ""
    may_open: bool = True
    group: str = ""

    @property
    def usb(self) -> str:
        """Vendor and product, as in 0403:6001; empty where it is no USB port."""
        if self.vendor_id is None or self.product_id is None:
            return ""
        return f"{self.vendor_id:04x}:{self.product_id:04x}"

    def __str__(self) -> str:
        number = f"serial number {self.serial_number}" if self.serial_number else ""
        location = f"location {self.location}" if self.location else ""
        known = "  ".join(part for part in (self.usb, number, location, self.description) if part)
        lines = [self.device, known, self.stable_name and f"stable name: {self.stable_name}"]
        if not self.may_open:
            group = self.group or "dialout"
            lines.append(
                f"may not be opened by you: sudo usermod -aG {group} $USER, then log in again"
            )
        return "\n    ".join(line for line in lines if line)


def found_ports() -> Sequence[FoundPort]:
    """What the system knows of, in the order of the device names."""
    stable = _stable_names()
    return [
        FoundPort(
            device=port.device,
            description=port.description if port.description != "n/a" else "",
            vendor_id=port.vid,
            product_id=port.pid,
            serial_number=port.serial_number or "",
            location=port.location or "",
            stable_name=stable.get(port.device, ""),
            may_open=os.access(port.device, os.R_OK | os.W_OK),
            group=_group(Path(port.device)),
        )
        for port in sorted(list_ports.comports(), key=lambda port: str(port.device))
    ]


def _stable_names() -> dict[str, str]:
    try:
        return {os.path.realpath(link): str(link) for link in sorted(BY_ID.iterdir())}
    except OSError:
        return {}


def _group(device: Path) -> str:
    try:
        return device.group()
    except (KeyError, OSError):
        return ""
