from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus.framer import FramerType
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest

from gateway.errors import ReaderError
from gateway.measurement import Value
from gateway.readers import Buses, build
from gateway.readers.modbus import ModbusConfig, ModbusReader
from gateway.readers.modbus.bus import SilenceError
from tests.modbus_device import device, serial_bus, tcp_line
from tests.real_ends import DEADLINE_S, free_port, wait_until

TEMPERATURE = {"temperature": {"address": 0, "type": "int16"}}


def section(port: str, registers: dict[str, Any] = TEMPERATURE, **keys: Any) -> ModbusConfig:
    return ModbusConfig.model_validate(
        {
            "type": "modbus",
            "port": port,
            "baudrate": 115_200,
            "every_s": 0.05,
            "timeout_s": 0.3,
            "registers": registers,
            **keys,
        }
    )


@contextmanager
def opened(config: ModbusConfig, buses: Buses | None = None) -> Iterator[ModbusReader]:
    reader = build(config, buses=buses)
    assert isinstance(reader, ModbusReader)
    reader.open()
    try:
        yield reader
    finally:
        reader.close()


def reading(reader: ModbusReader) -> dict[str, Value]:
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        for measurement in reader.read():
            return dict(measurement.fields)
    raise AssertionError("nothing was read")


def test_a_reading_is_one_measurement_of_all_tables() -> None:
    registers = {
        "temperature": {"address": 0, "type": "int16"},
        "flow": {"address": 1, "type": "float32", "table": "input"},
        "pump": {"address": 2, "table": "coil"},
        "alarm": {"address": 0, "table": "discrete"},
    }
    slave = device(7, {0: [65_516, 0x4148, 0]}, coils=[True, False, True])
    with tcp_line(slave) as line, opened(section(line.port, registers, unit=7)) as reader:
        assert reading(reader) == {
            "temperature": -20,
            "flow": 12.5,
            "pump": True,
            "alarm": True,
        }


def test_neighbours_cost_one_request() -> None:
    registers = {f"r{address}": {"address": address} for address in range(40)}
    slave = device(1, {0: list(range(40))})
    with tcp_line(slave) as line, opened(section(line.port, registers)) as reader:
        assert reading(reader) == {f"r{address}": address for address in range(40)}
        assert set(line.asked(1)) == {(0, 40)}


def test_devices_on_one_serial_line_are_read_side_by_side(tmp_path: Path) -> None:
    buses = Buses()
    with serial_bus(tmp_path, device(1, {0: [10]}), device(2, {0: [20]})) as line:
        with (
            opened(section(line.port, unit=1), buses) as one,
            opened(section(line.port, unit=2), buses) as two,
        ):
            found: dict[int, list[Value]] = {1: [], 2: []}

            def read(unit: int, reader: ModbusReader) -> None:
                found[unit] = [reading(reader)["temperature"] for _ in range(20)]

            threads = [threading.Thread(target=read, args=pair) for pair in ((1, one), (2, two))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert found == {1: [10] * 20, 2: [20] * 20}


def test_rtu_behind_a_serial_server_is_understood() -> None:
    with tcp_line(device(1, {0: [215]}), framer=FramerType.RTU) as line:
        assert line.port.startswith("rtu+tcp://")
        with opened(section(line.port)) as reader:
            assert reading(reader) == {"temperature": 215}


def test_a_silent_device_is_left_alone_and_takes_little_of_the_bus() -> None:
    now_s = 0.0
    buses = Buses()
    with tcp_line(device(1, {0: [10]})) as line, opened(section(line.port), buses) as present:
        config = section(line.port, unit=9, timeout_s=0.05)
        silent = ModbusReader(config, buses.of(config), monotonic=lambda: now_s)
        for _ in range(2):
            with pytest.raises(ReaderError, match=r"unit 9 doesn't answer within 0\.05 s"):
                silent.open()
        asked = len(line.asked(9))
        assert asked == 4  # twice each time
        with pytest.raises(ReaderError, match=r"unit 9 doesn't answer within 0\.05 s"):
            silent.open()
        assert len(line.asked(9)) == asked  # its rest is not over
        now_s = 1.1  # ten times what asking twice cost
        with pytest.raises(ReaderError, match="unit 9 doesn't answer"):
            silent.open()
        assert len(line.asked(9)) == asked + 2
        now_s = 3.0  # the next rest is twice as long
        with pytest.raises(ReaderError, match="unit 9 doesn't answer"):
            silent.open()
        assert len(line.asked(9)) == asked + 2
        assert reading(present) == {"temperature": 10}


def test_a_silent_device_that_has_the_line_for_itself_is_asked_each_time() -> None:
    with tcp_line(device(1, {0: [10]})) as line:
        reader = build(section(line.port, unit=9, timeout_s=0.05))
        for times in (1, 2, 3):
            with pytest.raises(ReaderError, match="doesn't answer"):
                reader.open()
            assert len(line.asked(9)) == 2 * times


def test_a_refused_block_is_read_point_by_point_and_what_is_refused_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registers = {"a": {"address": 0}, "b": {"address": 2}, "none": {"address": 3}}
    slave = device(1, {0: [10], 2: [20]})
    with tcp_line(slave) as line, opened(section(line.port, registers, max_gap=1)) as reader:
        found: dict[str, Value] = {}
        deadline_s = time.monotonic() + DEADLINE_S
        while found != {"a": 10, "b": 20}:
            assert time.monotonic() < deadline_s, found
            for measurement in reader.read():
                found = dict(measurement.fields)
        assert reader.rejected["illegal_data_address"] >= 1
        assert {(0, 1), (2, 1), (3, 1)} <= set(line.asked(1))
    told = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    (warning,) = told
    assert warning.startswith(f"{line.port} unit 1 refuses holding 3 (none): illegal_data_address;")


def test_a_line_that_went_away_is_said_so_and_found_again() -> None:
    port = free_port()
    buses = Buses()
    with tcp_line(device(1, {0: [1]}), device(2, {0: [2]}), port=port) as line:
        config = section(line.port)
        one, two = build(config, buses=buses), build(section(line.port, unit=2), buses=buses)
        assert isinstance(one, ModbusReader)
        assert isinstance(two, ModbusReader)
        one.open()
        two.open()
    for reader in (one, two):
        with pytest.raises(ReaderError):
            reader.write("temperature", 1)
        reader.close()
        with pytest.raises(ReaderError, match="can't reach"):
            reader.open()
    with tcp_line(device(1, {0: [1]}), device(2, {0: [2]}), port=port):
        for reader, value in ((one, 1), (two, 2)):
            reader.open()
            assert reading(reader) == {"temperature": value}
            reader.close()
            reader.close()


def test_values_are_written_and_read_back() -> None:
    registers: dict[str, Any] = {
        "one": {"address": 0, "type": "int16"},
        "two": {"address": 1, "type": "float32"},
        "field": {"address": 3, "bit": 4, "bits": 3},
        "coil": {"address": 1, "table": "coil"},
    }
    slave = device(1, {0: [0, 0, 0, 0xFFFF]}, coils=[True, False, True])
    with tcp_line(slave) as line, opened(section(line.port, registers)) as reader:
        wishes: dict[str, Value] = {"one": -5, "two": 21.5, "field": 2, "coil": True}
        for point, value in wishes.items():
            reader.write(point, value)
        assert reading(reader) == wishes
        assert 3 in [one.address for one in line.requests]


def test_what_was_written_is_read_back_at_once_however_seldom_the_device_is_read() -> None:
    with (
        tcp_line(device(1, {0: [1]})) as line,
        opened(section(line.port, every_s=3600)) as reader,
    ):
        assert reading(reader) == {"temperature": 1}
        assert not reader.read()
        reader.write("temperature", 5)
        assert reading(reader) == {"temperature": 5}


def test_who_waits_for_the_line_goes_before_who_comes_back_to_it() -> None:
    buses = Buses()
    with tcp_line(device(1, {0: [1]})) as line:
        bus = buses.of(section(line.port))
        bus.join()

        def ask_the_silent() -> None:
            for _ in range(4):
                with pytest.raises(SilenceError):
                    bus.ask(ReadHoldingRegistersRequest(count=1, dev_id=9), 0.2)

        busy = threading.Thread(target=ask_the_silent)
        busy.start()
        try:
            wait_until(lambda: len(line.requests) == 1, "it is asked")
            bus.ask(ReadHoldingRegistersRequest(count=1, dev_id=1), DEADLINE_S)
            assert [one.dev_id for one in line.requests][:2] == [9, 1]
        finally:
            busy.join(DEADLINE_S)
            bus.leave()


def test_what_cannot_be_written_is_refused_in_words() -> None:
    registers: dict[str, Any] = {
        "one": {"address": 0},
        "input": {"address": 0, "table": "input"},
        "none": {"address": 50},
        "no_field": {"address": 50, "bit": 3},
    }
    with tcp_line(device(1, {0: [1]})) as line, opened(section(line.port, registers)) as reader:
        with pytest.raises(ValueError, match="70000 is no uint16"):
            reader.write("one", 70_000)
        with pytest.raises(ValueError, match="input lies in the table input, which is only read"):
            reader.write("input", 1)
        with pytest.raises(ReaderError, match="unit 1 refuses 1 for none: illegal_data_address"):
            reader.write("none", 1)
        with pytest.raises(ReaderError, match="refuses True for no_field: illegal_data_address"):
            reader.write("no_field", True)


def test_late_and_senseless_answers_are_no_values() -> None:
    """A device that answers for another one, then nonsense, then right."""
    answers = [
        b"\x02\x03\x02\x00\x63\xbc\x6d",  # unit 2's
        b"\xff\xff\xff\xff\xff\xff",
        b"\x01\x03\x02\x00\x07\xf9\x86",
        b"\x01\x03\x02\x00\x07\xf9\x86",
    ]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    if not connection.recv(256):
                        return
                    connection.sendall(answer)
                connection.recv(256)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            reader = build(section(f"rtu+tcp://127.0.0.1:{port}", timeout_s=0.2))
            with pytest.raises(ReaderError, match=r"doesn't answer|answers nonsense"):
                reader.open()
            reader.close()
        finally:
            with socket.create_connection(("127.0.0.1", port)):
                pass
            thread.join()


@pytest.mark.parametrize(
    ("port", "why"),
    [
        ("udp://10.0.0.1:5", "must be a device as in /dev/ttyUSB0, or tcp://host:502"),
        ("tcp://host", "must name host and port"),
        ("tcp://host:abc", "must name host and port"),
        ("a\0b", "holds a NUL character"),
    ],
)
def test_a_port_that_is_none_is_refused(port: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        section(port)


def test_a_register_is_not_called_like_a_topic_of_the_gateways_own() -> None:
    with pytest.raises(ValueError, match="is a topic of the gateway's own"):
        section("/dev/ttyUSB0", {"availability": {"address": 0}})
