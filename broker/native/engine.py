"""The engine `native`: our own broker on its listeners."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from broker.access import Users
from broker.config import DEFAULT_PORTS
from broker.link import Link, LinkEvents, Message, Subscription
from broker.listen import listen, netloc
from broker.native.client import Client
from broker.native.connection import Connection
from broker.native.core import Core
from broker.native.local_link import LocalLink

log = logging.getLogger(__name__)

MAX_PACKET_BYTES = 16 * 1024 * 1024
"""The largest packet that a client may send: a camera's picture, but no film."""

MAX_CONNECTIONS = 10_000

STOP_S = 2.0
"""How long clients may take to read what is left for them when the broker stops."""

REMEDY = (
    "Name another port in broker.listeners, or use the broker that runs there:"
    " set broker.engine: external and broker.url."
)


class Engine:
    """A core and the connections that come to it."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._open: set[Connection] = set()

    def connection(self) -> Connection:
        """A protocol for one client that has just connected."""
        connection = Connection(
            max_packet_bytes=self.core.max_packet_bytes, ended=self._open.discard
        )
        connection.client = Client(self.core, connection)
        connection.is_refused = len(self._open) >= MAX_CONNECTIONS
        self._open.add(connection)
        return connection

    def connect(
        self,
        events: LinkEvents,
        *,
        role: str,  # noqa: ARG002 - a link in this process needs no client id
        subscriptions: Sequence[Subscription],
        will: Message | None = None,  # noqa: ARG002 - nor a will: it ends with the broker
    ) -> AbstractAsyncContextManager[Link]:
        """A link inside the process."""
        return LocalLink(self.core, events).running(subscriptions)

    async def end(self) -> None:
        """Close all connections, when they have read what was left for them or after a while."""
        self.core.stop()
        for connection in tuple(self._open):
            connection.close()
        for _ in range(int(STOP_S / 0.02)):
            if not self._open:
                return
            await asyncio.sleep(0.02)
        for connection in tuple(self._open):
            connection.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def running(
    listeners: Sequence[str], users: Users, *, anonymous: bool
) -> AsyncIterator[tuple[Engine, list[str]]]:
    """Serve mqtt:// listeners; gives the engine and the urls with the real ports.

    Raises ListenError. Leaving takes less than five seconds, whatever the clients do.
    """
    loop = asyncio.get_running_loop()
    core = Core(users, anonymous=anonymous, max_packet_bytes=MAX_PACKET_BYTES)
    users.on_change(core.judge_again)
    engine = Engine(core)
    async with AsyncExitStack() as stack:
        urls: list[str] = []
        for url in listeners:
            parts = urlsplit(url)
            host = parts.hostname or ""
            port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
            sockets = listen(host, port, remedy=REMEDY)
            for sock in sockets:
                server = await loop.create_server(engine.connection, sock=sock)
                stack.callback(server.close)
            urls.append(f"{parts.scheme}://{netloc(host, sockets[0].getsockname()[1])}")
        try:
            yield engine, urls
        finally:
            await stack.aclose()
            await engine.end()
