"""Accepting connections on our own listening sockets: bounds first, then TLS, then MQTT.

Neither asyncio's servers nor uvloop's would do: out of file descriptors the one tries again and
again without a pause, the other closes who comes; and neither counts a TLS handshake under way.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

from broker.native.counters import Counters
from broker.tls import HANDSHAKE_S, SHUTDOWN_S, ServerCertificate

PAUSE_S = 1.0
"""How long accepting pauses when there is no file descriptor left, until one may be free."""

BATCH = 32
"""Connections accepted before others have their turn."""

log = logging.getLogger(__name__)

Arrive = Callable[[str], asyncio.Protocol | None]
"""A protocol for one who came from an address, None where it is one too many."""


class Listener:
    """Serves the listening sockets of one url, from `start` until `close`."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        arrive: Arrive,
        failed: Callable[[asyncio.Protocol], None],
        counters: Counters,
        tls: ServerCertificate | None = None,
    ) -> None:
        """`failed` is told of a protocol that got no connection, since its handshake failed."""
        self._loop = asyncio.get_running_loop()
        self._sockets = sockets
        self._arrive = arrive
        self._failed = failed
        self._counters = counters
        self._tls = tls
        self._starting: set[asyncio.Task[None]] = set()
        self._resuming: asyncio.TimerHandle | None = None
        self._is_out = False  # of file descriptors

    def start(self) -> None:
        """Accept connections."""
        for sock in self._sockets:
            self._loop.add_reader(sock, self._accept, sock)

    async def close(self) -> None:
        """Accept no more, and give up the handshakes under way."""
        if self._resuming is not None:
            self._resuming.cancel()
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        for task in self._starting:
            task.cancel()
        if self._starting:
            await asyncio.wait(self._starting)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                sock, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:  # EMFILE, ENFILE, ENOBUFS, ENOMEM
                self._pause(error)
                return
            if self._is_out:
                self._is_out = False
                log.warning("connections are accepted again")
            protocol = self._arrive(address[0])
            if protocol is None:
                sock.close()
                continue
            task = self._loop.create_task(self._begin(sock, protocol))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    def _pause(self, error: OSError) -> None:
        self._counters.accepting_paused += 1
        if not self._is_out:
            self._is_out = True
            log.warning("no connection can be accepted for now: %s", error.strerror)
        if self._resuming is not None:
            self._resuming.cancel()
        for sock in self._sockets:
            self._loop.remove_reader(sock)
        self._resuming = self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._resuming = None
        self.start()

    async def _begin(self, sock: socket.socket, protocol: asyncio.Protocol) -> None:
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = self._tls
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                sock,
                ssl=tls.context if tls else None,
                ssl_handshake_timeout=HANDSHAKE_S if tls else None,
                ssl_shutdown_timeout=SHUTDOWN_S if tls else None,
            )
        except OSError as error:  # an ssl.SSLError and a TimeoutError are such, too
            self._counters.failed_handshakes += 1
            log.debug("a connection ended before it began: %s", error)
            sock.close()
            self._failed(protocol)
        except asyncio.CancelledError:
            sock.close()
            self._failed(protocol)
            raise
