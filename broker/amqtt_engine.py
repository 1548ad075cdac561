"""The engine `amqtt`: the MQTT 3.1.1 broker of that name, on loopback, behind our own sockets.

amqtt hears of each connection through its "external" listener, so that accepting, refusing and
closing are ours: its own servers wait for ever, from Python 3.12 on, for connections that stay
open. What it can't do is pinned in tests/broker/test_amqtt_faults.py.

Bounds: `MAX_CONNECTIONS`; `AWAY_MESSAGES` for a client that is away, and `AWAY_S`. Behind a
subscriber that stopped reading amqtt queues without a bound until TCP_USER_TIMEOUT ends it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from functools import partial
from urllib.parse import urlsplit

from amqtt.adapters import (
    ReaderAdapter,
    StreamReaderAdapter,
    StreamWriterAdapter,
    WebSocketsReader,
    WebSocketsWriter,
    WriterAdapter,
)
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import ApplicationMessage, Session
from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from broker.amqtt_log import hush_amqtt, quiet_amqtt
from broker.config import DEFAULT_PORTS
from broker.listen import listen, netloc
from broker.site import host_refusal, origin_refusal

MAX_CONNECTIONS = 1_000
"""One more is closed at once: each costs amqtt about 50 kB and five tasks."""

CONNECT_S = 10.0
"""How long a connection may take to send its CONNECT [MQTT-3.1.0-1]."""

AWAY_MESSAGES = 1_000
"""QoS 1 and 2 messages kept for a client of a lasting session that is away; oldest dropped."""

AWAY_S = 24 * 3600
"""How long a lasting session waits for its client."""

SETTLE_S = 0.1
"""At the end: until subscribers hear what was published last, which amqtt acknowledges before."""

PATIENCE_TURNS = 50
"""Turns of the loop in which amqtt can work off a message many times over: it takes about six."""

FLUSH_S = 1.0
"""At the end: how long what was sent may take to leave, and amqtt to see that a client is gone."""

STOP_S = 2.0
"""At the end: how long amqtt itself may take."""

REMEDY = (
    "Name another port in broker.listeners, or use the broker that runs there:"
    " set broker.engine: external and broker.url."
)

_LISTENER = "ours"

_connecting: ContextVar[tuple[asyncio.Timeout, _PatientReader]] = ContextVar("connecting")
"""What the plug-in, which amqtt calls in a task of its own, must know about the connection."""

_Server = asyncio.Server | WebSocketServer

logger = logging.getLogger(__name__)


@asynccontextmanager
async def running(listeners: Sequence[str], origins: Collection[str]) -> AsyncIterator[list[str]]:
    """Serve mqtt:// and ws:// listeners; gives their urls, with the real ports.

    Raises ListenError. Leaving takes less than five seconds, whatever the clients do.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(quiet_amqtt())
        made = [(url, _sockets(url, stack)) for url in listeners]
        broker = Broker(_config())
        await broker.start()
        connections = _Connections(broker)
        servers: list[_Server] = []
        stack.push_async_callback(_stop, servers, connections, broker)
        for url, sockets in made:
            for sock in sockets:
                if urlsplit(url).scheme == "ws":
                    servers.append(await _serve_websocket(sock, url, connections, origins))
                else:
                    servers.append(await _serve_stream(sock, connections))
        yield [_real_url(url, sockets[0]) for url, sockets in made]


def _config() -> BrokerConfig:
    """No plug-in but ours, which must be said: without the key amqtt loads four of its own."""
    return BrokerConfig(
        listeners={
            "default": ListenerConfig(ListenerType.EXTERNAL),
            _LISTENER: ListenerConfig(ListenerType.EXTERNAL),
        },
        plugins={f"{Everybody.__module__}.{Everybody.__qualname__}": {}},
        session_expiry_interval=AWAY_S,
    )


class Everybody(BaseAuthPlugin):
    """Admits everybody, as befits loopback without users, and bounds what waits for them.

    Nobody is marked as anonymous: amqtt forgets an anonymous client's lasting session.
    """

    async def authenticate(self, *, session: Session) -> bool:
        deadline, reader = _connecting.get()
        deadline.reschedule(None)
        reader.session = session
        if not isinstance(session.retained_messages, _Waiting):
            session.retained_messages = _Waiting()
        return True


class _Waiting(asyncio.Queue[ApplicationMessage]):
    """What waits for a client that is away: the oldest message makes room for the newest."""

    async def put(self, item: ApplicationMessage) -> None:
        while self.qsize() >= AWAY_MESSAGES:
            self.get_nowait()
        self.put_nowait(item)


class _PatientReader(ReaderAdapter):
    """Reads on only when amqtt has worked off what this client published before.

    amqtt reads whatever is there without a pause, and at DISCONNECT it throws away what it read
    but did not work off, acknowledged or not. The wait is short: behind a message may come the
    very PUBACK that amqtt waits for before it goes on.
    """

    def __init__(self, inner: ReaderAdapter) -> None:
        self._inner = inner
        self.session: Session | None = None

    async def read(self, n: int = -1) -> bytes:
        if self.session is not None:
            await asyncio.sleep(0)  # each packet is handled in a task, which has to start
            for _ in range(PATIENCE_TURNS):
                if self.session.delivered_message_queue.empty():
                    break
                await asyncio.sleep(0)
        return await self._inner.read(n)

    def feed_eof(self) -> None:
        self._inner.feed_eof()


class _Connections:
    """The connections that amqtt serves now, each in the task that its server made for it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._open: dict[asyncio.Task[None], asyncio.WriteTransport] = {}

    async def serve(
        self, adapter: ReaderAdapter, writer: WriterAdapter, transport: asyncio.WriteTransport
    ) -> None:
        """Let amqtt talk to one client, until either of them has had enough."""
        reader = _PatientReader(adapter)
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= MAX_CONNECTIONS:
            logger.warning("refused a connection: %d are open already", MAX_CONNECTIONS)
            transport.abort()
            return
        self._open[task] = transport
        try:
            async with asyncio.timeout(CONNECT_S) as deadline:
                _connecting.set((deadline, reader))
                await self._broker.external_connected(reader, writer, _LISTENER)
        except TimeoutError:
            logger.debug("closed a connection that sent no CONNECT for %s s", CONNECT_S)
        except Exception:
            logger.warning("amqtt failed on a connection, which is closed", exc_info=True)
        finally:
            del self._open[task]
            transport.close()  # amqtt itself leaves it open where no CONNECT came

    async def end(self) -> None:
        """Close them all when what was sent has left, or after a while; amqtt sees them gone."""
        for transport in self._open.values():
            transport.close()
        await self._ended()
        for transport in self._open.values():
            transport.abort()
        await self._ended()
        for task in self._open:
            task.cancel()

    async def _ended(self) -> None:
        if self._open:
            await asyncio.wait(self._open, timeout=FLUSH_S)


async def _stop(servers: Sequence[_Server], connections: _Connections, broker: Broker) -> None:
    await asyncio.sleep(SETTLE_S)
    for server in servers:
        server.close()
    hush_amqtt()
    await connections.end()
    try:
        async with asyncio.timeout(STOP_S):  # with no connection open it waits for nobody
            for server in servers:
                await server.wait_closed()
            await broker.shutdown()
    except TimeoutError:
        logger.warning("amqtt did not stop within %s s: going on without it", STOP_S)
    except Exception:
        logger.warning("amqtt failed while it stopped: going on without it", exc_info=True)


async def _serve_stream(sock: socket.socket, connections: _Connections) -> _Server:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await connections.serve(
            StreamReaderAdapter(reader), StreamWriterAdapter(writer), writer.transport
        )

    return await asyncio.start_server(connected, sock=sock)


async def _serve_websocket(
    sock: socket.socket, url: str, connections: _Connections, origins: Collection[str]
) -> _Server:
    async def connected(peer: ServerConnection) -> None:
        await connections.serve(WebSocketsReader(peer), WebSocketsWriter(peer), peer.transport)

    return await serve(
        connected,
        sock=sock,
        subprotocols=[Subprotocol("mqtt")],
        process_request=partial(_refusal, urlsplit(url).path, tuple(origins)),
        compression=None,  # one message compresses badly, and each connection would pay for it
        close_timeout=FLUSH_S,
        logger=logging.getLogger("amqtt.websockets"),  # taken over as amqtt's own are
    )


def _refusal(
    path: str, origins: Collection[str], connection: ServerConnection, request: Request
) -> Response | None:
    if path not in ("", "/", urlsplit(request.path).path):
        return connection.respond(404, f"MQTT is at {path}\n")
    host, origin = request.headers.get("Host"), request.headers.get("Origin")
    if reason := host_refusal(host) or origin_refusal(host, origin, origins):
        return connection.respond(403, f"{reason}\n")
    return None


def _sockets(url: str, stack: AsyncExitStack) -> list[socket.socket]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    return [stack.enter_context(sock) for sock in listen(parts.hostname, port, remedy=REMEDY)]


def _real_url(url: str, sock: socket.socket) -> str:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return parts._replace(netloc=netloc(parts.hostname, sock.getsockname()[1])).geturl()
