"""A tiny MQTT client that says exactly what it is told to say, right or wrong."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tests.real_ends import DEADLINE_S

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 2, 3, 4, 9, 13
DISCONNECT = b"\xe0\x00"


@dataclass(frozen=True, slots=True)
class Packet:
    """One control packet as it came: its type, the flags beside it, and the rest."""

    type: int
    flags: int
    body: bytes

    @property
    def qos(self) -> int:
        return self.flags >> 1 & 3

    @property
    def retain(self) -> bool:
        return bool(self.flags & 1)

    @property
    def topic(self) -> str:
        return self.body[2 : self._topic_end].decode()

    @property
    def payload(self) -> bytes:
        return self.body[self._topic_end + (2 if self.qos else 0) :]

    @property
    def _topic_end(self) -> int:
        return 2 + int.from_bytes(self.body[:2], "big")


def packet(first_byte: int, body: bytes = b"") -> bytes:
    """A control packet: its first byte as given, its length, its body."""
    size, length = b"", len(body)
    while True:
        length, digit = divmod(length, 128)
        size += bytes([digit | (128 if length else 0)])
        if not length:
            return bytes([first_byte]) + size + body


def text(value: str) -> bytes:
    """A UTF-8 string with its length before it, as MQTT writes them."""
    return len(value.encode()).to_bytes(2, "big") + value.encode()


def connect(
    client_id: str,
    *,
    clean: bool = True,
    keep_alive_s: int = 60,
    will: tuple[str, bytes] | None = None,
    will_retain: bool = False,
    login: tuple[str, str] | None = None,
    protocol: tuple[str, int] = ("MQTT", 4),
) -> bytes:
    """A CONNECT of MQTT 3.1.1, or with the header of another protocol level."""
    flags = 2 * clean | (4 | 32 * will_retain) * (will is not None) | 192 * (login is not None)
    name, level = protocol
    body = text(name) + bytes([level, flags]) + keep_alive_s.to_bytes(2, "big")
    body += b"\x00" if level == 5 else b""  # no properties
    body += text(client_id)
    if will is not None:
        body += text(will[0]) + len(will[1]).to_bytes(2, "big") + will[1]
    if login is not None:
        body += text(login[0]) + text(login[1])
    return packet(0x10, body)


def publish(topic: str, payload: bytes = b"", *, packet_id: int = 0, retain: bool = False) -> bytes:
    """A PUBLISH: QoS 1 with a packet id, QoS 0 without."""
    qos1 = packet_id > 0
    body = text(topic) + (packet_id.to_bytes(2, "big") if qos1 else b"") + payload
    return packet(0x30 | 2 * qos1 | retain, body)


def subscribe(topic_filter: str, qos: int = 0, *, packet_id: int = 1) -> bytes:
    return packet(0x82, packet_id.to_bytes(2, "big") + text(topic_filter) + bytes([qos]))


class Client:
    """One connection. It acknowledges nothing by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, *packets: bytes) -> None:
        self._writer.write(b"".join(packets))
        await self._writer.drain()

    async def read(self) -> Packet:
        """The next packet; EOFError when the broker has closed the connection."""
        async with asyncio.timeout(DEADLINE_S):
            try:
                first = (await self._reader.readexactly(1))[0]
                length = shift = 0
                while True:
                    digit = (await self._reader.readexactly(1))[0]
                    length |= (digit & 127) << shift
                    shift += 7
                    if digit < 128:
                        break
                return Packet(first >> 4, first & 15, await self._reader.readexactly(length))
            except (asyncio.IncompleteReadError, ConnectionError):
                raise EOFError from None

    async def read_until(self, packet_type: int) -> list[Packet]:
        """All packets up to the first of this type, which is the last of them."""
        packets = [await self.read()]
        while packets[-1].type != packet_type:
            packets.append(await self.read())
        return packets

    async def read_until_topic(self, topic: str) -> list[Packet]:
        """All PUBLISH packets up to the first on this topic, which is the last of them."""
        packets: list[Packet] = []
        while not packets or packets[-1].topic != topic:
            packets.append((await self.read_until(PUBLISH))[-1])
        return packets

    async def read_until_closed(self) -> list[Packet]:
        """All packets until the broker closes the connection."""
        packets: list[Packet] = []
        with suppress(EOFError):
            while True:
                packets.append(await self.read())
        return packets

    async def ping(self) -> list[Packet]:
        """All that came before the answer to a PINGREQ."""
        await self.send(b"\xc0\x00")
        return (await self.read_until(PINGRESP))[:-1]

    async def subscribe(self, topic_filter: str, qos: int = 0) -> list[Packet]:
        """Subscribe; all packets up to the SUBACK."""
        await self.send(subscribe(topic_filter, qos))
        return await self.read_until(SUBACK)

    def vanish(self) -> None:
        """Close without a DISCONNECT."""
        self._writer.transport.abort()


@asynccontextmanager
async def opened(port: int, connect_packet: bytes = b"") -> AsyncIterator[Client]:
    """A connection on which a CONNECT, if given, was sent; its CONNACK is the next packet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(connect_packet)
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def connected(port: int, client_id: str, **options: object) -> AsyncIterator[Client]:
    """A client whose CONNECT was accepted."""
    async with opened(port, connect(client_id, **options)) as client:  # type: ignore[arg-type]
        assert (await client.read()).body[1] == 0
        yield client


@asynccontextmanager
async def deaf_subscriber(port: int, topic_filter: str) -> AsyncIterator[socket.socket]:
    """A subscriber that never reads a byte, with as small a receive buffer as there is."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, connect("deaf") + subscribe(topic_filter))
        yield sock
