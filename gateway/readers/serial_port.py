"""Serial lines, by pyserial: a device node, or rfc2217:// and loop:// of its own."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import termios
import threading
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import serial
from pydantic import AfterValidator, Field

from gateway.errors import ReaderError
from gateway.readers.descriptor import write_all
from gateway.readers.reader import READ_TIMEOUT_S
from gateway.section import Section

CHUNK_BYTES = 4096
"""Most bytes that one read takes; what is left is there for the next."""

URL_SCHEMES = ("socket", "rfc2217", "loop")


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


class SerialConfig(Section):
    """`reader: {type: serial, port: /dev/ttyUSB0, baudrate: 9600}`"""

    type: Literal["serial"]
    port: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_check_port)] = Field(
        description="A device as in /dev/ttyUSB0 (better its name in /dev/serial/by-id, which"
        " stays), or socket://host:port, rfc2217://host:port."
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


class SerialPort:
    """A serial port that is ours alone while it is open.

    pyserial opens it and sets the line; a device node is then read through its descriptor with
    `poll`, because pyserial's own `select` fails from the 1,024th open file on, and one browser
    too many must not keep a port from coming back.
    """

    def __init__(self, config: SerialConfig) -> None:
        self._config = config
        self._port: serial.Serial | None = None
        self._poll: select.poll | None = None
        self._writing = threading.Lock()

    def open(self) -> None:
        config = self._config
        is_device = "://" not in config.port
        self.close()
        try:
            self._port = serial.serial_for_url(
                config.port,
                baudrate=config.baudrate,
                bytesize=config.bytesize,
                parity=config.parity[0].upper(),
                stopbits=config.stopbits,
                rtscts=config.rtscts,
                xonxoff=config.xonxoff,
                timeout=READ_TIMEOUT_S,
                exclusive=True if is_device else None,
            )
        except (OSError, ValueError, termios.error) as error:
            raise ReaderError(_why_not_open(config.port, error)) from error
        if is_device:
            self._poll = select.poll()
            self._poll.register(self._port.fileno(), select.POLLIN)

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
            raise ReaderError(f"{self._config.port} is gone: {_plain(error)}") from error
        if not chunk:  # ready, but nothing there: that is how Linux shows a hang-up
            raise ReaderError(
                f"{self._config.port} is gone: unplugged, or another program reads it too"
            )
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
                raise ReaderError(f"{self._config.port} takes nothing: {_plain(error)}") from error

    def discard(self) -> None:
        with contextlib.suppress(OSError, termios.error):  # gone: the next read says so
            self._opened().reset_input_buffer()

    def _opened(self) -> serial.Serial:
        if self._port is None:
            raise ReaderError(f"{self._config.port} is not open")
        return self._port

    def close(self) -> None:
        with self._writing:  # else the descriptor could be another file's when it is written to
            port, self._port, self._poll = self._port, None, None
        if port is not None:
            with contextlib.suppress(OSError, termios.error):
                port.close()


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
