"""MQTT 3.1.1 clients that cost as little as they can: hand-made packets, messages counted by their
marks in the raw bytes. Each packet is shorter than 128 bytes, so that its length is one byte.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import repeat
from typing import TypeVar

from tests.bench.broker_side import Broker
from tests.bench.receiver import Receiver
from tests.bench.stamp import payload
from tests.mqtt_packets import connect, packet, subscribe, text
from tests.real_ends import until

PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 3, 4, 5, 6, 7

OPEN = 100
"""QoS 1 and 2 messages that a publisher has unacknowledged at once."""

_CONNECTED_AT_ONCE = 50

_ANSWERS: tuple[dict[int, bytes], ...] = (
    {},
    {PUBLISH: b"\x40\x02"},  # PUBACK
    {PUBLISH: b"\x50\x02", PUBREL: b"\x70\x02"},  # PUBREC, PUBCOMP
)
"""How a subscriber's acknowledgements begin, by QoS."""

_PUBREL = b"\x62\x02"


class Client(Receiver):
    """One connection; `moved` is called when something has come that lets others go on."""

    def __init__(self) -> None:
        super().__init__()
        self.moved: Callable[[], None] = _nothing
        self._rest = b""

    def take_apart(self, data: bytes) -> list[tuple[int, bytes]]:
        """Type and packet id of each packet that is whole now; without PUBLISH of QoS 0."""
        data = self._rest + data
        found: list[tuple[int, bytes]] = []
        at, size = 0, len(data)
        while size - at >= 2:
            end = at + 2 + data[at + 1]
            if end > size:
                break
            kind = data[at] >> 4
            place = at + 4 + data[at + 3] if kind == PUBLISH else at + 2
            found.append((kind, data[place : place + 2]))
            at = end
        self._rest = data[at:]
        return found


class Subscriber(Client):
    """Counts what comes, and acknowledges what asks for that."""

    def __init__(self, qos: int = 0) -> None:
        super().__init__()
        self.size = 0
        """Bytes that came."""
        self._answers = _ANSWERS[qos]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.size += len(data)
        if answers := self._answers:
            found = self.take_apart(data)
            self.write(b"".join([answers[kind] + n for kind, n in found if kind in answers]))
        self.moved()


class Publisher(Client):
    """Publishes to one topic, or each time to a new one where that holds a `%d`."""

    def __init__(self, topic: str, qos: int = 0) -> None:
        super().__init__()
        self.sent = 0
        self._topic, self._qos = topic, qos
        self._packets = [self._packet(number) for number in range(OPEN + 1)]
        self._free = list(range(1, OPEN + 1))

    def send(self, count: int) -> int:
        """Send so many messages, or as many as may be open; returns how many."""
        if self._qos:
            numbers, self._free = self._free[:count], self._free[count:]
            count = len(numbers)
            self.write(b"".join([self._packets[number] for number in numbers]))
        elif "%" in self._topic:
            self.write(b"".join([self._packet(n) for n in range(self.sent, self.sent + count)]))
        else:
            self.write(self._packets[0] * count)
        self.sent += count
        return count

    @property
    def open(self) -> int:
        """Messages that are not acknowledged."""
        return OPEN - len(self._free)

    @property
    def delivered_size(self) -> int:
        """How many bytes a subscriber gets with each message."""
        return len(self._packets[0]) + (4 if self._qos == 2 else 0)  # PUBREL

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._qos:
            return
        found = self.take_apart(data)
        self.write(b"".join([_PUBREL + number for kind, number in found if kind == PUBREC]))
        self._free += [int.from_bytes(n, "big") for kind, n in found if kind in (PUBACK, PUBCOMP)]
        self.moved()

    def _packet(self, number: int) -> bytes:
        """The packet of this packet id; at QoS 0, with this number in its topic."""
        topic = self._topic % number if "%" in self._topic else self._topic
        packet_id = number.to_bytes(2, "big") if self._qos else b""
        return packet(0x30 | self._qos << 1, text(topic) + packet_id + payload(0))


C = TypeVar("C", bound=Client)


@asynccontextmanager
async def connected(broker: Broker, clients: Sequence[C]) -> AsyncIterator[Sequence[C]]:
    """Let clients be connected, until the block is left."""
    try:
        for start in range(0, len(clients), _CONNECTED_AT_ONCE):
            some = clients[start : start + _CONNECTED_AT_ONCE]
            await asyncio.gather(*(_connect(broker, client) for client in some))
        yield clients
    finally:
        for client in clients:
            client.vanish()
        await until(lambda: all(client.is_closed for client in clients), "connections are closed")


async def _connect(broker: Broker, client: Client) -> None:
    await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", broker.port)
    client.write(connect(f"bench-{secrets.token_hex(6)}", keep_alive_s=0))
    await client.answered(b"\x20\x02\x00\x00")


@asynccontextmanager
async def subscribed(
    broker: Broker, filters: Sequence[str], qos: int = 0
) -> AsyncIterator[Sequence[Subscriber]]:
    """A client for each filter, until the block is left."""
    async with connected(broker, [Subscriber(qos) for _ in filters]) as clients:
        await asyncio.gather(*map(subscribing, clients, filters, repeat(qos)))
        for client in clients:
            client.size = 0
        yield clients


async def subscribing(client: Client, topic_filter: str, qos: int = 0) -> None:
    """Subscribe, and wait until that is granted."""
    client.write(subscribe(topic_filter, qos))
    await client.answered(b"\x90\x03\x00\x01" + bytes([qos]))


def _nothing() -> None:
    """Nobody waits."""
