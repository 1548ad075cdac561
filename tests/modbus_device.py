"""Modbus devices for tests: pymodbus's server, in a thread, over TCP or a serial line."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.server.base import ModbusBaseServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.real_ends import free_port, is_listening, program, wait_until


@dataclass
class ModbusLine:
    """`port` is what a config names; `requests` is all that was asked, oldest first."""

    port: str
    units: frozenset[int]
    requests: list[ModbusPDU] = field(default_factory=list)

    def asked(self, unit: int) -> list[tuple[int, int]]:
        """Address and count of each request to a device."""
        return [(one.address, one.count) for one in self.requests if one.dev_id == unit]

    def trace(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        if not sending:
            self.requests.append(pdu)
        return pdu

    def hush(self, sending: bool, packet: bytes) -> bytes:
        """The server answers for a unit that isn't there, too, that it has failed."""
        return b"" if sending and self.requests[-1].dev_id not in self.units else packet


def device(
    unit: int, registers: dict[int, Sequence[int]], coils: Sequence[bool] = (False,)
) -> SimDevice:
    """Stretches of registers, the same in the tables holding and input, and coils from 0 on."""
    stretches = [
        SimData(start, values=list(words), datatype=DataType.REGISTERS)
        for start, words in registers.items()
    ]
    bits = [SimData(0, values=[*coils, *[False] * (-len(coils) % 16)], datatype=DataType.BITS)]
    return SimDevice(unit, (bits, bits, stretches, stretches))


@contextmanager
def tcp_line(
    *devices: SimDevice, framer: FramerType = FramerType.SOCKET, port: int = 0
) -> Iterator[ModbusLine]:
    """Devices behind one TCP server; units that aren't there stay silent."""
    port = port or free_port()
    scheme = "tcp" if framer is FramerType.SOCKET else "rtu+tcp"
    line = ModbusLine(f"{scheme}://127.0.0.1:{port}", frozenset(one.id for one in devices))

    def server() -> ModbusTcpServer:
        return ModbusTcpServer(
            list(devices),
            framer=framer,
            address=("127.0.0.1", port),
            trace_pdu=line.trace,
            trace_packet=line.hush,
        )

    with _serving(server):
        wait_until(lambda: is_listening(port), "the Modbus server listens")
        yield line


@contextmanager
def serial_bus(folder: Path, *devices: SimDevice) -> Iterator[ModbusLine]:
    """Devices on one serial line, RTU; units that aren't there stay silent."""
    ours, theirs = folder / "ttyBUS0", folder / "ttyBUS1"
    line = ModbusLine(str(ours), frozenset(one.id for one in devices))

    def server() -> ModbusSerialServer:
        return ModbusSerialServer(
            list(devices),
            port=str(theirs),
            baudrate=115_200,
            trace_pdu=line.trace,
            trace_packet=line.hush,
        )

    ends = [f"pty,rawer,link={end}" for end in (ours, theirs)]
    with subprocess.Popen([program("socat"), *ends]) as cable:
        try:
            wait_until(lambda: ours.exists() and theirs.exists(), "the line is there")
            with _serving(server):
                yield line
        finally:
            cable.terminate()


@contextmanager
def _serving(make: Callable[[], ModbusBaseServer]) -> Iterator[None]:
    started = threading.Event()
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        server = make()
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        await server.serve_forever(background=True)
        started.set()
        await ended.wait()
        await server.shutdown()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        wait_until(lambda: started.is_set() or not thread.is_alive(), "the server has started")
        yield
    finally:
        if stop:
            stop[0]()
        thread.join()
