"""Serial lines, by pyserial: a device node, or rfc2217:// and loop:// of its own."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import termios
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import serial
from serial.rs485 import RS485Settings

from gateway.errors import ReaderError
from gateway.port_list import FoundPort, found_ports
from gateway.readers.descriptor import write_all
from gateway.readers.port_match import matching_port
from gateway.readers.reader import READ_TIMEOUT_S
from gateway.readers.serial_config import Rs485Config, SerialConfig

CHUNK_BYTES = 4096
"""Most bytes that one read takes; what is left is there for the next."""


class SerialPort:
    """A serial port that is ours alone while it is open.

    pyserial opens it and sets the line; a device node is then read through its descriptor with
    `poll`, because pyserial's own `select` fails from the 1,024th open file on, and one browser
    too many must not keep a port from coming back.
    """

    def __init__(
        self, config: SerialConfig, ports: Callable[[], Sequence[FoundPort]] = found_ports
    ) -> None:
        """`ports` is what is plugged in now, for a config that matches one of them."""
        self._config = config
        self._ports = ports
        self._name = config.title
        self._port: serial.Serial | None = None
        self._poll: select.poll | None = None
        self._writing = threading.Lock()

    def open(self) -> None:
        config = self._config
        self.close()
        if config.match is not None:
            self._name = matching_port(config.match, self._ports())
        try:
            self._port = serial.serial_for_url(
                self._name,
                baudrate=config.baudrate,
                bytesize=config.bytesize,
                parity=config.parity[0].upper(),
                stopbits=config.stopbits,
                rtscts=config.rtscts,
                xonxoff=config.xonxoff,
                timeout=READ_TIMEOUT_S,
                exclusive=None if config.is_url else config.exclusive,
            )
        except (OSError, ValueError, termios.error) as error:
            raise ReaderError(_why_not_open(self._name, error)) from error
        if config.rs485 is not None:
            self._switch_to_rs485(config.rs485)
        if not config.is_url:
            self._poll = select.poll()
            self._poll.register(self._port.fileno(), select.POLLIN)

    def _switch_to_rs485(self, config: Rs485Config) -> None:
        try:
            self._opened().rs485_mode = rs485_settings(config)
        except (OSError, ValueError) as error:
            self.close()
            raise ReaderError(
                f"{self._name} knows no RS-485: take `rs485` away; most USB adapters switch the"
                " direction by themselves"
            ) from error

    def read(self, timeout_s: float = READ_TIMEOUT_S) -> bytes:
        """What came within that time: the first bytes at once, whatever their number."""
        port, poll = self._opened(), self._poll
        try:
            if poll is None:
                if port.timeout != timeout_s:  # setting it talks to the server
                    port.timeout = max(timeout_s, 0)
                return bytes(port.read(max(1, min(port.in_waiting, CHUNK_BYTES))))
            if not poll.poll(max(timeout_s, 0) * 1000):
                return b""
            chunk = os.read(port.fileno(), CHUNK_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise ReaderError(f"{self._name} is gone: {_plain(error)}") from error
        if not chunk:  # ready, but nothing there: that is how Linux shows a hang-up
            raise ReaderError(f"{self._name} is gone: unplugged, or another program reads it too")
        return chunk

    def write(self, content: bytes) -> None:
        with self._writing:
            port = self._opened()
            try:
                if self._poll is None:
                    port.write(content)
                else:
                    write_all(port.fileno(), content)
            except OSError as error:
                raise ReaderError(f"{self._name} takes nothing: {_plain(error)}") from error

    def discard(self) -> None:
        with contextlib.suppress(OSError, termios.error):  # gone: the next read says so
            self._opened().reset_input_buffer()

    def _opened(self) -> serial.Serial:
        if self._port is None:
            raise ReaderError(f"{self._name} is not open")
        return self._port

    def close(self) -> None:
        with self._writing:  # else the descriptor could be another file's when it is written to
            port, self._port, self._poll = self._port, None, None
        if port is not None:
            with contextlib.suppress(OSError, termios.error):
                port.close()


def rs485_settings(config: Rs485Config) -> RS485Settings:
    """What the config says, as pyserial has it."""
    return RS485Settings(
        rts_level_for_tx=config.rts_level_for_tx,
        rts_level_for_rx=config.rts_level_for_rx,
        loopback=config.loopback,
        delay_before_tx=config.delay_before_tx_s,
        delay_before_rx=config.delay_before_rx_s,
    )


def _why_not_open(port: str, error: Exception) -> str:
    """A sentence for a person, with the remedy where there is one."""
    if "://" in port:
        return f"can't reach {port}: {error}"
    match getattr(error, "errno", None):
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return f"there is no {port}: is it plugged in? `fieldgate ports` lists what there is"
        case errno.EACCES | errno.EPERM:
            return f"{port} may not be opened: add this user to the group {_group_of(port)}"
        case errno.EAGAIN | errno.EBUSY:
            return f"{port} is in use by another program: end that program, or read another port"
    if not _is_terminal(port):
        return f"{port} is no serial port"
    return f"{port} can't be opened: {error}"


def _group_of(port: str) -> str:
    try:
        return Path(port).group()
    except (KeyError, OSError):
        return "that owns it (usually dialout)"


def _is_terminal(port: str) -> bool:
    try:
        descriptor = os.open(port, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return True  # who knows: the first error says more
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)


def _plain(error: OSError) -> str:
    return error.strerror or str(error)
