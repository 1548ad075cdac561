"""The engine `native`: our own broker on its listeners."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from urllib.parse import SplitResult, urlsplit

from broker.access import Users
from broker.attachment import Attached
from broker.config import DEFAULT_PORTS
from broker.link import Link, LinkEvents, Message, Subscription
from broker.listen import listen, netloc
from broker.native.arrivals import Arrivals
from broker.native.attached import AttachedConnection
from broker.native.backlog import Backlog
from broker.native.client import Client
from broker.native.connection import SLICE_S, Connection
from broker.native.core import Core
from broker.native.counters import Counters
from broker.native.data_folder import EarlierLife, opened
from broker.native.database import Durability
from broker.native.handshake import Gate
from broker.native.listener import Arrive, Listener
from broker.native.local_link import LocalLink
from broker.native.sys_topics import SysTopics
from broker.native.unclean_stop import offline_now
from broker.native.web_socket import WebSocket
from broker.tls import ServerCertificate

log = logging.getLogger(__name__)

MAX_PACKET_BYTES = 16 * 1024 * 1024
"""The largest packet that a client may send: a camera's picture, but no film."""

STOP_S = 2.0
"""How long clients may take to read what is left for them when the broker stops."""

REMEDY = (
    "Name another port in broker.listeners, or use the broker that runs there:"
    " set broker.engine: external and broker.url."
)


class Engine:
    """A core and the connections that come to it."""

    def __init__(self, core: Core, *, arrivals: Arrivals | None = None) -> None:
        self.core = core
        self.arrivals = arrivals or Arrivals(core.counters)
        self._open: dict[Connection, str] = {}

    def connection(self, address: str) -> Connection | None:
        """A protocol for one client that has just come; None where it is one too many."""
        if not self.arrivals.enter(address):
            return None
        connection = Connection(
            max_packet_bytes=self.core.max_packet_bytes,
            ended=self._ended,
            counters=self.core.counters,
        )
        connection.client = Client(self.core, connection)
        self._open[connection] = address
        return connection

    def web_socket(self, gate: Gate, address: str) -> WebSocket | None:
        """The same over WebSocket."""
        connection = self.connection(address)
        if connection is None:
            return None
        return WebSocket(connection, gate, max_message_bytes=self.core.max_packet_bytes)

    def failed(self, protocol: asyncio.Protocol) -> None:
        """Forget a client that got no connection after all."""
        self._ended(protocol.connection if isinstance(protocol, WebSocket) else protocol)

    def attach(
        self, peer_host: str, *, must_log_in: bool, known_as: str | None = None
    ) -> Attached | None:
        """See `broker.attachment.Attach`."""
        connection = self.connection(peer_host)
        if connection is None:
            return None
        return AttachedConnection(connection, peer_host, must_log_in=must_log_in, known_as=known_as)

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

    def _ended(self, connection: asyncio.BaseProtocol) -> None:
        assert isinstance(connection, Connection)
        address = self._open.pop(connection, None)
        if address is not None:
            self.arrivals.leave(address)


@asynccontextmanager
async def running(
    listeners: Sequence[str],
    users: Users,
    *,
    anonymous: bool,
    origins: Collection[str] = (),
    tls: ServerCertificate | None = None,
    data: Path | None = None,
    base_topic: str = "",
    durability: Durability = "process",
    max_keep_alive_s: int | None = None,
) -> AsyncIterator[tuple[Engine, list[str]]]:
    """Serve listeners; gives the engine and the urls with the real ports.

    `tls` is for mqtts:// and wss://, `origins` are the sites beside our own whose pages may come
    over ws:// and wss://, `data` the folder of what outlives the process, and with `durability`
    "power" the machine's power, too; `base_topic` is what our own retained states lie under,
    `max_keep_alive_s` what MQTT 5 clients have to keep to. Raises ListenError, and EngineError
    for what a newer Fieldgate left in the folder. Leaving takes less than five seconds, whatever
    the clients do.
    """
    backlog = Backlog()
    async with (
        opened(data, backlog, durability=durability) as (store, earlier),
        AsyncExitStack() as stack,
    ):
        core = Core(
            users,
            anonymous=anonymous,
            max_packet_bytes=MAX_PACKET_BYTES,
            max_keep_alive_s=max_keep_alive_s,
            counters=Counters(),
            store=store,
            backlog=backlog,
        )
        users.on_change(core.judge_again)
        await _go_on(core, earlier, base_topic)
        engine = Engine(core)
        urls: list[str] = []
        serving: list[Listener] = []
        for parts in map(urlsplit, listeners):
            host = parts.hostname or ""
            port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
            sockets = listen(host, port, remedy=REMEDY)
            arrive: Arrive = engine.connection
            if parts.scheme in ("ws", "wss"):
                gate = Gate(parts.path, origins, anybody=not users.exist)
                arrive = partial(engine.web_socket, gate)
            listener = Listener(sockets, arrive, engine.failed, core.counters, _tls_of(parts, tls))
            stack.push_async_callback(listener.close)
            serving.append(listener)
            real = netloc(host, sockets[0].getsockname()[1])
            urls.append(parts._replace(netloc=real).geturl())
        sys_topics = SysTopics(core)
        try:
            for listener in serving:
                listener.start()
            sys_topics.start()
            yield engine, urls
        finally:
            sys_topics.stop()
            await stack.aclose()
            await engine.end()


async def _go_on(core: Core, earlier: EarlierLife, base_topic: str) -> None:
    began = monotonic()
    for _ in core.restore(earlier.sessions, earlier.retained):
        if monotonic() - began > SLICE_S:  # what else the program does has its turns
            await asyncio.sleep(0)
            began = monotonic()
    if not earlier.was_stopped:
        for message in offline_now(earlier.retained, base_topic):
            core.publish(message)
    earlier.retained.clear()  # or what is replaced would stay in memory


def _tls_of(parts: SplitResult, tls: ServerCertificate | None) -> ServerCertificate | None:
    if parts.scheme not in ("mqtts", "wss"):
        return None
    if tls is None:
        raise ValueError(f"{parts.scheme}:// without a certificate")
    return tls
