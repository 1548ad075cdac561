"""A Modbus line: one request at a time, whichever device asks.

The frames are pymodbus's. The bytes go through our own ports and not through its clients, whose
`select` fails from the 1,024th open file of a process on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU

from gateway.errors import ReaderError
from gateway.readers.modbus.config import ModbusConfig
from gateway.readers.reader import TwoWayPort
from gateway.readers.serial_config import SerialConfig
from gateway.readers.serial_port import SerialPort
from gateway.readers.tcp_port import TcpPort

SHORTEST_PAUSE_S = 0.00175
"""Between two RTU frames: 3.5 characters, and no less than this ("Modbus over Serial Line" V1.02,
2.5.1.1)."""

BITS_OF_A_CHARACTER = 11

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what it would say, we say ourselves


class SilenceError(ReaderError):
    """No answer, or none that could be understood, within the device's time."""


class RefusalError(Exception):
    """The device understood, and said no; `code` is the reason (V1.1b3, 7)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception code {code}")
        self.code = code


class Bus:
    """One line for all the devices on it; from any of their threads.

    Opened by the first who joins and closed by the last who leaves. When it breaks, everybody
    hears of it with their next request, and the next who joins opens it again.
    """

    def __init__(self, config: ModbusConfig) -> None:
        self._port = _port(config)
        is_tcp = config.port.startswith("tcp:")
        self._framer = (FramerSocket if is_tcp else FramerRTU)(DecodePDU(False))
        character_s = BITS_OF_A_CHARACTER / config.baudrate
        self._pause_s = 0.0 if is_tcp else max(SHORTEST_PAUSE_S, 3.5 * character_s)
        self._lock = threading.Lock()
        self._next = threading.Lock()
        self._members = 0
        self._is_open = False
        self._transaction = 0
        self.is_shared = False
        """Whether the config has more than one device on it."""

    def join(self) -> None:
        """Raises ReaderError where the line can't be opened."""
        with self._lock:
            if not self._is_open:
                self._port.open()
                self._is_open = True
            self._members += 1

    def leave(self) -> None:
        """Once for each join."""
        with self._lock:
            self._members -= 1
            if not self._members:
                self._close()

    def ask(self, request: ModbusPDU, timeout_s: float) -> ModbusPDU:
        """The answer to one request.

        Raises SilenceError, RefusalError, and ReaderError where the line is gone.
        """
        with self._turn():
            return self._answer(request, timeout_s)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._in_order():
            if not self._is_open:
                raise ReaderError("the line was closed")
            try:
                yield
            except SilenceError:
                raise
            except ReaderError:
                self._close()
                raise
            finally:
                time.sleep(self._pause_s)

    @contextmanager
    def _in_order(self) -> Iterator[None]:
        """A lock goes to whoever asks at the right moment: a device that is read without a pause
        would take it again and again, and a command would wait. So who waits keeps the door."""
        with self._next:
            self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    def _answer(self, request: ModbusPDU, timeout_s: float) -> ModbusPDU:
        self._transaction = request.transaction_id = self._transaction % 65_535 + 1
        self._port.discard()  # what came too late for whoever asked before
        self._port.write(self._framer.buildFrame(request))
        deadline_s = time.monotonic() + timeout_s
        heard = b""
        while time.monotonic() < deadline_s:
            heard += self._port.read(deadline_s - time.monotonic())
            try:
                used, answer = self._framer.handleFrame(
                    heard, request.dev_id, request.transaction_id
                )
            except (ModbusException, ValueError, IndexError) as error:
                raise SilenceError(f"answers nonsense: {heard[:40].hex(' ')}") from error
            heard = heard[used:]
            if isinstance(answer, ExceptionResponse):
                raise RefusalError(answer.exception_code)
            if answer is not None and answer.function_code == request.function_code:
                return answer
        raise SilenceError(f"doesn't answer within {timeout_s:g} s")

    def _close(self) -> None:
        self._is_open = False
        self._port.close()


class Buses:
    """The lines of one config, by port: devices that name the same one get the same bus."""

    def __init__(self) -> None:
        self._by_port: dict[str, Bus] = {}

    def of(self, config: ModbusConfig) -> Bus:
        """The bus that this device is on."""
        if (bus := self._by_port.get(config.port)) is None:
            bus = self._by_port[config.port] = Bus(config)
        else:
            bus.is_shared = True
        return bus


def _port(config: ModbusConfig) -> TwoWayPort:
    if "://" in config.port:
        return TcpPort(config.port)
    return SerialPort(
        SerialConfig(
            type="serial",
            port=config.port,
            baudrate=config.baudrate,
            parity=config.parity,
            stopbits=config.stopbits,
        )
    )
