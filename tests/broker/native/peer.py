"""A broker on a free port, and a client that says exactly what it is told to, by the codec."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from broker.access import NoUsers, Users, parse_users
from broker.link import QoS
from broker.native.backlog import MAX_BYTES, Backlog
from broker.native.client import Client
from broker.native.connection import Connection
from broker.native.core import Core
from broker.native.encode import encode
from broker.native.packet import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscribeRequest,
    Version,
)
from broker.native.properties import EMPTY, Properties
from broker.native.stream import PacketStream
from tests.real_ends import DEADLINE_S, until

P = TypeVar("P", bound=Packet)
V31, V311, V5 = Version.V31, Version.V311, Version.V5
EVERY_VERSION = [V31, V311, V5]
MAX_PACKET_BYTES = 1024 * 1024


class Peer:
    """One connection. It acknowledges nothing by itself."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: Version
    ) -> None:
        self._reader, self.writer = reader, writer
        self.version = version
        self._stream = PacketStream(
            max_packet_bytes=2 * MAX_PACKET_BYTES, sent_by="server", version=version
        )
        self.connack = Connack()

    def send(self, *packets: Packet | bytes) -> None:
        self.writer.write(
            b"".join(
                each if isinstance(each, bytes) else encode(each, self.version) for each in packets
            )
        )

    async def read(self) -> Packet:
        """The next packet; EOFError when the broker has closed the connection."""
        async with asyncio.timeout(DEADLINE_S):
            while (packet := self._stream.next_packet()) is None:
                try:
                    data = await self._reader.read(65_536)
                except ConnectionError:
                    data = b""
                if not data:
                    raise EOFError
                self._stream.feed(data)
            return packet

    async def expect(self, kind: type[P]) -> P:
        """The next packet, which must be of this kind."""
        packet = await self.read()
        assert isinstance(packet, kind), packet
        return packet

    async def settled(self) -> list[Packet]:
        """All that comes before the answer to a PINGREQ."""
        self.send(Pingreq())
        packets: list[Packet] = []
        while not isinstance(packet := await self.read(), Pingresp):
            packets.append(packet)
        return packets

    async def messages(self) -> list[Publish]:
        """The messages among them; acknowledges them, and goes on until there are no more."""
        found: list[Publish] = []
        while packets := await self.settled():
            for packet in packets:
                match packet:
                    case Publish():
                        found.append(packet)
                        if packet.qos is QoS.AT_LEAST_ONCE:
                            self.send(Puback(packet.packet_id))
                        elif packet.qos is QoS.EXACTLY_ONCE:
                            self.send(Pubrec(packet.packet_id))
                    case Pubrel():
                        self.send(Pubcomp(packet.packet_id))
                    case _:
                        pass
        return found

    async def payloads(self) -> list[bytes]:
        return [message.payload for message in await self.messages()]

    async def until_closed(self) -> list[Packet]:
        """All that comes before the broker closes the connection."""
        packets: list[Packet] = []
        try:
            while True:
                packets.append(await self.read())
        except EOFError:
            return packets

    async def goodbye(self) -> Disconnect:
        """The DISCONNECT that must be the broker's last packet."""
        packets = await self.until_closed()
        last = packets[-1] if packets else None
        assert isinstance(last, Disconnect), packets
        return last

    async def subscribe(
        self, *filters: str | SubscribeRequest, qos: QoS = QoS.EXACTLY_ONCE, identifier: int = 0
    ) -> Suback:
        """Subscribe and wait for the SUBACK, which comes first."""
        requests = tuple(
            SubscribeRequest(each, qos) if isinstance(each, str) else each for each in filters
        )
        held = Properties(subscription_identifiers=(identifier,)) if identifier else EMPTY
        self.send(Subscribe(1, requests, held))
        return await self.expect(Suback)

    async def publish(
        self,
        topic: str,
        payload: bytes = b"",
        qos: QoS = QoS.AT_MOST_ONCE,
        *,
        retain: bool = False,
        packet_id: int = 1,
        properties: Properties = EMPTY,
    ) -> Packet | None:
        """Publish and take the broker's first answer, if there is one."""
        self.send(Publish(topic, payload, qos, retain, False, packet_id if qos else 0, properties))
        if qos is QoS.AT_LEAST_ONCE:
            return await self.expect(Puback)
        if qos is QoS.EXACTLY_ONCE:
            answer = await self.expect(Pubrec)
            if not answer.reason.is_failure:
                self.send(Pubrel(packet_id))
                await self.expect(Pubcomp)
            return answer
        assert await self.settled() == []
        return None

    async def accept(self, message: Publish) -> None:
        """Say that a QoS 2 message is here, and wait until the broker releases it."""
        self.send(Pubrec(message.packet_id))
        assert (await self.expect(Pubrel)).packet_id == message.packet_id

    def publish_and_go_on(self, topic: str) -> None:
        """Publish at QoS 2 what it may get itself; leaves the answers to `messages`."""
        self.send(Publish(topic, b"own", QoS.EXACTLY_ONCE, packet_id=9), Pubrel(9))

    async def leave(self, packet: Disconnect | None = None) -> None:
        """Say goodbye and wait until the broker has closed the connection."""
        self.send(packet or Disconnect())
        self.writer.write_eof()
        await self.until_closed()

    def vanish(self) -> None:
        """Close without a DISCONNECT."""
        self.writer.transport.abort()


@asynccontextmanager
async def opened_at(port: int, version: Version = V5) -> AsyncIterator[Peer]:
    """A connection on which nothing was said yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    peer = Peer(reader, writer, version)
    try:
        yield peer
    finally:
        peer.vanish()


@asynccontextmanager
async def peer_at(
    port: int, client_id: str = "", version: Version = V5, **fields: Any
) -> AsyncIterator[Peer]:
    """A client that was let in."""
    async with opened_at(port, version) as peer:
        if not client_id and version is V31:
            client_id = "somebody"
        peer.send(Connect(version, client_id, **fields))
        peer.connack = await peer.expect(Connack)
        assert not peer.connack.reason, peer.connack
        yield peer


@dataclass(frozen=True, slots=True)
class Served:
    """A broker to connect to."""

    core: Core
    port: int
    connections: set[Connection]

    def opened(self, version: Version = V5) -> AbstractAsyncContextManager[Peer]:
        """A connection on which nothing was said yet."""
        return opened_at(self.port, version)

    def peer(
        self, client_id: str = "", version: Version = V5, **fields: Any
    ) -> AbstractAsyncContextManager[Peer]:
        """A client that was let in."""
        return peer_at(self.port, client_id, version, **fields)

    async def gone(self) -> None:
        """Wait until the broker has noticed that all have left."""
        await until(lambda: not self.connections, "the broker has no connection")


@asynccontextmanager
async def served(
    users: Users | str | None = None,
    *,
    max_keep_alive_s: int | None = None,
    max_backlog_bytes: int = MAX_BYTES,
) -> AsyncIterator[Served]:
    """A broker; `users` may be the text of a users file."""
    if isinstance(users, str):
        users = Users(parse_users(users))
    core = Core(
        users or NoUsers(),
        anonymous=True,
        max_packet_bytes=MAX_PACKET_BYTES,
        max_keep_alive_s=max_keep_alive_s,
        backlog=Backlog(max_bytes=max_backlog_bytes),
    )
    connections: set[Connection] = set()

    def accept() -> Connection:
        connection = Connection(
            max_packet_bytes=MAX_PACKET_BYTES,
            ended=connections.discard,
            counters=core.counters,
        )
        connection.client = Client(core, connection)
        connections.add(connection)
        return connection

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    try:
        yield Served(core, server.sockets[0].getsockname()[1], connections)
    finally:
        server.close()
        core.stop()
        for connection in tuple(connections):
            connection.abort()
        await until(lambda: not connections, "all connections are closed")
