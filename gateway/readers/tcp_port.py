"""Serial lines behind a TCP server: `socket://192.168.1.20:4001`, bytes as they are.

Ours and not pyserial's, which asks the kernel twice for every byte, leaks the socket when the
peer is gone and, without keep-alive, never learns that a server lost its power.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit

from gateway.errors import ReaderError
from gateway.readers.descriptor import write_all
from gateway.readers.reader import READ_TIMEOUT_S

CONNECT_TIMEOUT_S = 2.0
"""A stop waits this long at most for a server that doesn't answer."""

CHUNK_BYTES = 4096

SHORTEST_TIMEOUT_S = 0.001
"""Zero would mean something else to a socket."""

KEEP_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A server that vanished without a word is noticed after 25 s, by a probe of some bytes."""


class TcpPort:
    """One TCP connection to a serial server."""

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._socket: socket.socket | None = None
        self._writing = threading.Lock()

    def open(self) -> None:
        self.close()
        try:
            connection = socket.create_connection(self._address, CONNECT_TIMEOUT_S)
        except (OSError, UnicodeError) as error:  # a name that IDNA refuses is a UnicodeError
            raise ReaderError(f"can't reach {self._url}: {_plain(error)}") from error
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEP_ALIVE.items():
            if number := getattr(socket, option, None):  # not every system has all three
                connection.setsockopt(socket.IPPROTO_TCP, number, value)
        self._socket = connection

    def read(self, timeout_s: float = READ_TIMEOUT_S) -> bytes:
        """What came within that time: the first bytes at once, whatever their number."""
        connection = self._opened()
        connection.settimeout(max(timeout_s, SHORTEST_TIMEOUT_S))
        try:
            chunk = connection.recv(CHUNK_BYTES)
        except TimeoutError as error:
            if error.errno is not None:  # the kernel's ETIMEDOUT: keep-alive got no answer
                raise ReaderError(f"{self._url} is gone: {_plain(error)}") from error
            return b""
        except OSError as error:
            raise ReaderError(f"{self._url} is gone: {_plain(error)}") from error
        if not chunk:
            raise ReaderError(f"{self._url} is gone: the server closed the connection")
        return chunk

    def write(self, content: bytes) -> None:
        with self._writing:
            descriptor = self._opened().fileno()
            try:
                write_all(descriptor, content)
            except OSError as error:
                raise ReaderError(f"{self._url} takes nothing: {_plain(error)}") from error

    def discard(self) -> None:
        connection = self._opened()
        connection.settimeout(0)
        with contextlib.suppress(OSError):  # nothing there, or gone: the next read says which
            while len(connection.recv(CHUNK_BYTES)) == CHUNK_BYTES:
                pass

    def _opened(self) -> socket.socket:
        if self._socket is None:
            raise ReaderError(f"{self._url} is not open")
        return self._socket

    def close(self) -> None:
        with self._writing:  # else the descriptor could be another file's when it is written to
            connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()


def _plain(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
