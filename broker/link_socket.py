"""A link's way to its broker: TCP, TLS, WebSocket. Opened by blocking, used without blocking."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from websockets.exceptions import InvalidHandshake

from broker.config import DEFAULT_PORTS
from broker.errors import LinkError
from broker.link import Endpoint, LinkTls
from broker.listen import keep_alive
from broker.outage import why_not_opened, why_tls_files_fail
from broker.web_socket import WebSocketFraming

OPEN_TIMEOUT_S = 5.0
"""For each step of opening: a handshake over a bad radio link takes seconds."""

READ_BYTES = 65_536
WRITE_BYTES = 65_536


_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class LinkSocket:
    """A non-blocking socket that reads ahead and joins writes.

    paho asks for a packet in three or four small reads and writes each packet by itself; with
    this between, a burst of packets costs one call into the system each way.
    """

    def __init__(self, connected: socket.socket, framing: WebSocketFraming | None = None) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._framing = framing
        self._ahead = framing.unwrap(b"") if framing else b""  # may have come with the handshake
        self._at = 0
        self._unframed = bytearray()
        self._unsent = bytearray()
        self.is_drained = False
        """Whether the last read found nothing more, here or in the system."""
        self.is_released = False
        """Whether paho has closed it."""

    @property
    def unsent(self) -> int:
        """Bytes that were taken by `send` and not by the system yet."""
        return len(self._unframed) + len(self._unsent)

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes, b"" at the end of the stream; raises BlockingIOError, OSError."""
        if self._at == len(self._ahead):
            self._ahead, self._at = self._read_ahead(), 0
        end = self._at + size
        data = self._ahead[self._at : end]
        self._at += len(data)
        return data

    def send(self, data: bytes | bytearray) -> int:
        """Take all of `data`; `flush` hands it on."""
        if self._framing is None:
            self._unsent += data
        else:
            self._unframed += data
        return len(data)

    def flush(self) -> None:
        """Give the system as much as it takes; raises OSError where the connection is gone."""
        if self._framing is not None and self._unframed:
            # One frame may hold many packets [MQTT-6.0.0-2].
            self._unsent += self._framing.wrap(bytes(self._unframed))
            self._unframed.clear()
        while self._unsent:
            chunk = bytes(self._unsent[:WRITE_BYTES])
            try:
                sent = self._socket.send(chunk)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            del self._unsent[:sent]

    def finish(self) -> bool:
        """Flush and throw away what comes; whether the broker has closed its side."""
        try:
            self.flush()
            while self._read_ahead():
                pass
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def fileno(self) -> int:
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        """It never blocks, whatever paho says."""

    def close(self) -> None:
        """For paho, which closes right behind a DISCONNECT that is still to be flushed."""
        self.is_released = True

    def really_close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _read_ahead(self) -> bytes:
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self.is_drained = True
            raise BlockingIOError from None
        self.is_drained = False
        if not data or self._framing is None:
            return data
        payload = self._framing.unwrap(data)
        self._unsent += self._framing.replies()
        if not payload and self._framing.is_open:
            raise BlockingIOError  # not drained: the next frame may be here already
        return payload


def open_socket(endpoint: Endpoint) -> LinkSocket:
    """Connect, with TLS and WebSocket where the URL says so. Blocks: for a thread.

    Raises LinkError with the reason, as a sentence.
    """
    parts = urlsplit(endpoint.url)
    host = parts.hostname or ""
    context = None
    if parts.scheme in ("mqtts", "wss"):
        try:
            context = _tls_context(endpoint.tls)
        except OSError as error:
            raise LinkError(why_tls_files_fail(endpoint, error)) from error
    with contextlib.ExitStack() as undo:
        try:
            port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
            connected = socket.create_connection((host, port), timeout=OPEN_TIMEOUT_S)
            undo.callback(connected.close)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep_alive(connected)
            if context is not None:
                # wraps and detaches it, and closes what it made where the handshake fails
                connected = context.wrap_socket(connected, server_hostname=host)
                undo.callback(connected.close)
            framing = _shake_hands(connected, endpoint.url) if parts.scheme[:2] == "ws" else None
        except (OSError, EOFError, ValueError, InvalidHandshake) as error:
            raise LinkError(why_not_opened(endpoint, error)) from error
        undo.pop_all()
    return LinkSocket(connected, framing)


def _tls_context(tls: LinkTls) -> ssl.SSLContext:
    """Made for each attempt, so that renewed certificates are taken up."""
    if tls.pinned_file is not None:
        return _pinning_context(Path(tls.pinned_file))
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.ca_file is not None:
        # From Python 3.13 on the default; the usual home-made CA lacks an extension or two,
        # and would stop being trusted with an upgrade of Python.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


def _pinning_context(file: Path) -> ssl.SSLContext:
    """Trusts the first certificate of a file, and none that it or those behind it signed."""
    found = _CERTIFICATE.search(file.read_text(encoding="ascii", errors="replace"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it needn't be its own CA
    context.load_verify_locations(cadata=found[0] if found else "none")
    return context


def _shake_hands(connected: socket.socket, url: str) -> WebSocketFraming:
    parts = urlsplit(url)
    framing = WebSocketFraming(url if parts.path else f"{url}/mqtt")
    connected.sendall(framing.replies())
    while not framing.shaken(connected.recv(READ_BYTES)):
        pass
    return framing
