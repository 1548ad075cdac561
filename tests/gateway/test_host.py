"""This very machine as a device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from gateway.measurement import Measurement
from gateway.points.names import MAX_UNLISTED_POINTS, PointNames, slug
from gateway.readers import build
from gateway.readers.host import HostConfig, HostReader


class Time:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def measured(reader: HostReader, time: Time) -> Iterator[tuple[float, Measurement]]:
    while True:
        for measurement in reader.read():
            yield round(time.now_s - 100.0, 6), measurement


def opened(interval_s: float = 2.0) -> tuple[HostReader, Time]:
    time = Time()
    reader = HostReader(interval_s, clock=lambda: 1_000, monotonic=time.monotonic, sleep=time.sleep)
    reader.open()
    return reader, time


def test_this_machine_tells_true_values_within_a_second() -> None:
    reader = build(HostConfig(type="host"))
    reader.open()
    found: list[Measurement] = []
    while not found:
        found += reader.read()
    reader.close()
    fields = found[0].fields
    assert abs(found[0].time_ms - time.time() * 1000) < 60_000
    for name in ("cpu_percent", "memory_percent", "disk_root_percent"):
        value = fields[name]
        assert isinstance(value, float)
        assert 0 <= value <= 100
    assert fields["memory_percent"] != 0
    for name in ("network_rx_bytes", "network_rx_bytes_per_s", "load_1m", "uptime_s"):
        value = fields[name]
        assert isinstance(value, int | float)
        assert value >= 0
    assert set(PointNames().of(fields)) == set(fields)
    assert len(fields) <= MAX_UNLISTED_POINTS


def test_the_first_measurement_comes_soon_and_the_others_on_a_grid() -> None:
    reader, time = opened(interval_s=2.0)
    found = measured(reader, time)
    assert [next(found)[0] for _ in range(3)] == [0.4, 2.4, 4.4]


def test_a_read_never_blocks_longer_than_promised() -> None:
    reader, time = opened(interval_s=3600)
    next(measured(reader, time))
    before_s = time.now_s
    assert reader.read() == ()
    assert time.now_s - before_s == 0.5


def test_what_a_sleeping_machine_missed_is_not_made_up_for() -> None:
    reader, time = opened(interval_s=1.0)
    found = measured(reader, time)
    next(found)
    time.now_s += 1_000
    next(found)
    next(found)
    assert next(found)[0] >= 1_001


class Counters(NamedTuple):
    bytes_recv: int
    bytes_sent: int


class Partition(NamedTuple):
    device: str
    mountpoint: str
    fstype: str


class Sensor(NamedTuple):
    label: str
    current: float | None


def test_rates_are_per_second_and_absent_where_the_counters_went_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now: dict[str, Counters] = {"eth0": Counters(1000, 0), "lo": Counters(0, 0)}
    monkeypatch.setattr(psutil, "net_io_counters", lambda **_keys: now)
    reader, time = opened(interval_s=2.0)
    found = measured(reader, time)
    now.update(eth0=Counters(1400, 40), lo=Counters(10**9, 10**9), docker0=Counters(10**9, 0))
    fields = next(found)[1].fields
    assert (fields["network_rx_bytes"], fields["network_rx_bytes_per_s"]) == (1400, 1000)
    assert fields["network_tx_bytes_per_s"] == 100
    now["eth0"] = Counters(0, 0)
    assert "network_rx_bytes_per_s" not in next(found)[1].fields


def test_disks_are_named_by_their_folder_and_each_told_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "again" / "x").mkdir(parents=True)
    (tmp_path / "hosts").write_text("")
    monkeypatch.setattr(
        psutil,
        "disk_partitions",
        lambda: [
            Partition("/dev/a", "/", "ext4"),
            Partition("/dev/b", str(tmp_path / "data"), "ext4"),
            Partition("/dev/b", str(tmp_path / "again" / "x"), "ext4"),
            Partition("/dev/c", str(tmp_path / "hosts"), "ext4"),
            Partition("/dev/d", str(tmp_path / "again"), "squashfs"),
            Partition("/dev/e", "/no/such/folder", "ext4"),
        ],
    )
    fields = next(measured(*opened()))[1].fields
    data = str(tmp_path / "data")
    disks = {name for name in fields if name.startswith("disk_")}
    assert disks == {"disk_root_percent", f"disk_{slug(data)}_percent"}


def test_temperatures_have_the_name_of_their_chip_and_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        psutil,
        "sensors_temperatures",
        lambda: {
            "cpu_thermal": [Sensor("", 48.312)],
            "coretemp": [Sensor("Core 0", 50.0), Sensor("Core 0", 51.0), Sensor("x", None)],
        },
        raising=False,
    )
    fields = next(measured(*opened()))[1].fields
    assert {name: value for name, value in fields.items() if name.startswith("temp")} == {
        "temperature_cpu_thermal": 48.3,
        "temperature_coretemp_core_0": 50.0,
        "temperature_coretemp_core_0_1": 51.0,
    }


def test_what_a_machine_does_not_tell_is_left_out_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_args: object, **_keys: object) -> None:
        raise PermissionError("not here")

    caplog.set_level("INFO", "gateway.readers.host")
    monkeypatch.delattr(psutil, "sensors_temperatures", raising=False)
    monkeypatch.setattr(psutil, "net_io_counters", refuse)
    monkeypatch.setattr(psutil, "getloadavg", refuse)
    found = measured(*opened())
    for _ in range(2):
        fields = next(found)[1].fields
        assert "memory_percent" in fields
        assert not [name for name in fields if name.startswith(("network", "temp", "load"))]
    assert caplog.text.count("host doesn't tell its network: not here") == 1
    assert caplog.text.count("host doesn't tell its") == 3
