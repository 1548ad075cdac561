"""This machine itself, by psutil: the one piece of hardware that everybody has."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import psutil
from pydantic import Field

from gateway.measurement import Measurement, Value
from gateway.points.names import slug
from gateway.readers.reader import READ_TIMEOUT_S, Clock, wall_clock_ms
from gateway.section import Section

LOG = logging.getLogger(__name__)

FIRST_INTERVAL_S = 0.4
"""From opening to the first measurement: long enough for a true CPU percentage and true rates."""

MAX_DISKS = 16
MAX_TEMPERATURES = 16
"""Together with the rest below the 64 points that a device gets without naming them."""

READ_ONLY_IMAGES = frozenset({"squashfs", "iso9660", "udf", "erofs"})
"""File systems that are full by nature: snaps, discs, system images."""

VIRTUAL_INTERFACES = ("lo", "veth", "docker", "br-", "virbr", "ifb", "dummy", "vnet", "cni")
"""How interfaces begin whose bytes also pass a real one, or never leave this machine."""

NAMES = {
    "cpu_percent": "CPU",
    "load_1m": "Load, 1 min",
    "load_5m": "Load, 5 min",
    "load_15m": "Load, 15 min",
    "memory_percent": "Memory used",
    "memory_available_bytes": "Memory free",
    "swap_percent": "Swap used",
    "network_rx_bytes": "Received",
    "network_tx_bytes": "Sent",
    "network_rx_bytes_per_s": "Receiving",
    "network_tx_bytes_per_s": "Sending",
    "uptime_s": "Uptime",
}
"""What people call our points; disks and temperatures are as many as a machine has."""

UNITS = (("_percent", "%"), ("_bytes_per_s", "B/s"), ("_bytes", "B"), ("_s", "s"))
"""What the ends of our points' names mean."""

Fields = dict[str, Value]


def describe(point: str) -> dict[str, str]:
    """The name and the unit of one of this reader's points, as far as it has them."""
    known: dict[str, str] = {}
    if name := NAMES.get(point):
        known["name"] = name
    if point.startswith("temperature_"):
        known["unit"] = "°C"
    elif unit := next((unit for ending, unit in UNITS if point.endswith(ending)), None):
        known["unit"] = unit
    return known


class HostConfig(Section):
    """`reader: {type: host, interval_s: 2}`"""

    type: Literal["host"]
    interval_s: Annotated[float, Field(ge=0.1, le=3600)] = Field(
        default=2.0, description="Seconds between two measurements."
    )


class HostReader:
    """CPU, load, memory, disks, network, temperatures, uptime, every `interval_s` seconds.

    What a machine (or a container) doesn't tell is left out. Rates are per second since the
    measurement before.
    """

    def __init__(
        self,
        interval_s: float = 2.0,
        *,
        clock: Clock = wall_clock_ms,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._due_s = 0.0
        self._traffic = (0.0, 0, 0)
        self._silent: set[str] = set()

    def open(self) -> None:
        psutil.cpu_percent()  # begins the span that the next call is about
        with contextlib.suppress(OSError, RuntimeError, psutil.Error):  # told by the first read
            self._traffic = (self._monotonic(), *_bytes_received_and_sent())
        self._due_s = self._monotonic() + min(FIRST_INTERVAL_S, self._interval_s)

    def read(self) -> Sequence[Measurement]:
        wait_s = self._due_s - self._monotonic()
        if wait_s > 0:
            self._sleep(min(wait_s, READ_TIMEOUT_S))
        if self._monotonic() < self._due_s:
            return ()
        # On a grid, so that the cadence doesn't drift; after a long sleep the grid begins anew.
        self._due_s = max(self._due_s + self._interval_s, self._monotonic())
        return (Measurement(self._clock(), self._fields()),)

    def close(self) -> None:
        """There is nothing to let go."""

    def _fields(self) -> Fields:
        fields: Fields = {}
        for part in (_cpu, _memory, _disks, self._network, _temperatures, _uptime):
            try:
                fields.update(part())
            except (OSError, RuntimeError, AttributeError, psutil.Error) as error:
                if part.__name__ not in self._silent:
                    self._silent.add(part.__name__)
                    LOG.info("host doesn't tell its %s: %s", part.__name__.strip("_"), error)
        return fields

    def _network(self) -> Fields:
        then_s, received_then, sent_then = self._traffic
        now_s, (received, sent) = self._monotonic(), _bytes_received_and_sent()
        self._traffic = (now_s, received, sent)
        fields: Fields = {"network_rx_bytes": received, "network_tx_bytes": sent}
        # An interface that went away takes its bytes with it: that is no rate.
        if then_s and now_s > then_s and received >= received_then and sent >= sent_then:
            fields["network_rx_bytes_per_s"] = round((received - received_then) / (now_s - then_s))
            fields["network_tx_bytes_per_s"] = round((sent - sent_then) / (now_s - then_s))
        return fields


def _cpu() -> Fields:
    load_1m, load_5m, load_15m = psutil.getloadavg()
    return {
        "cpu_percent": psutil.cpu_percent(),
        "load_1m": round(load_1m, 2),
        "load_5m": round(load_5m, 2),
        "load_15m": round(load_15m, 2),
    }


def _memory() -> Fields:
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    fields: Fields = {"memory_percent": memory.percent, "memory_available_bytes": memory.available}
    if swap.total:
        fields["swap_percent"] = swap.percent
    return fields


def _disks() -> Fields:
    fields: Fields = {}
    for mount in list(_mounts())[:MAX_DISKS]:
        try:
            fields[f"disk_{slug(mount) or 'root'}_percent"] = psutil.disk_usage(mount).percent
        except OSError:
            continue  # not ours to look at, or gone since
    return fields


def _mounts() -> Iterator[str]:
    """`/` (in a container no device of its own), then one folder of each real file system."""
    yield "/"
    seen: set[str] = set()
    for partition in sorted(psutil.disk_partitions(), key=lambda one: len(one.mountpoint)):
        mount = partition.mountpoint
        if mount == "/":
            seen.add(partition.device)
        elif (
            partition.device not in seen
            and partition.fstype not in READ_ONLY_IMAGES
            and Path(mount).is_dir()  # a container has single files mounted
        ):
            seen.add(partition.device)
            yield mount


def _bytes_received_and_sent() -> tuple[int, int]:
    real = [
        counters
        for name, counters in psutil.net_io_counters(pernic=True).items()
        if not name.startswith(VIRTUAL_INTERFACES)
    ]
    return sum(one.bytes_recv for one in real), sum(one.bytes_sent for one in real)


def _temperatures() -> Fields:
    fields: Fields = {}
    for chip, sensors in psutil.sensors_temperatures().items():
        for place, sensor in enumerate(sensors):
            name = slug(f"temperature_{chip}_{sensor.label}")
            if name in fields:
                name = f"{name}_{place}"
            if sensor.current is not None and len(fields) < MAX_TEMPERATURES:
                fields[name] = round(sensor.current, 1)
    return fields


def _uptime() -> Fields:
    return {"uptime_s": round(time.time() - psutil.boot_time())}
