"""An MQTT session: what one client id is owed, whether it is connected or not.

QoS 0 goes out now or never. QoS 1 and 2 are in flight up to a window and wait behind it, in
order, up to a bound in messages and bytes; beyond that the oldest that waits is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from broker.access import ANONYMOUS, User
from broker.link import QoS
from broker.native.packet import Pubrel, Version
from broker.native.record import OFF, Record
from broker.native.routed import Routed
from broker.native.router import Route

MAX_QUEUED = 10_000
MAX_QUEUED_BYTES = 64 * 1024 * 1024
"""What waits for one client: hours of a device's messages, and no client costs more."""

MAX_PACKET_ID = 65_535


class Wire(Protocol):
    """The connection of a session that is there."""

    version: Version
    window: int
    """How many QoS 1 and 2 messages the client takes unacknowledged [MQTT5-3.3.4-9]."""

    @property
    def has_room(self) -> bool:
        """Whether the client takes what is sent to it."""

    def send(self, frame: bytes) -> bool:
        """Send a whole packet; false if it is larger than the client takes [MQTT5-3.1.2-24]."""

    def send_packet(self, packet: Pubrel) -> None: ...

    def now(self) -> float: ...


@dataclass(slots=True)
class Delivery:
    """One message for one client."""

    message: Routed
    qos: QoS
    retain: bool
    identifiers: tuple[int, ...]
    is_received: bool = False
    """QoS 2: the client has it, only the release is open."""
    packet_id: int = 0
    """0 while it waits for its turn."""
    number: int = 0
    """Its place in the store, in the order of arrival; 0: it isn't there."""


class MqttSession:
    """The state that [MQTT-3.1.2-4] calls Session State, and the rules of delivery."""

    def __init__(
        self, client_id: str, user: User = ANONYMOUS, *, max_queued: int = MAX_QUEUED
    ) -> None:
        self.client_id = client_id
        self.user = user
        self.wire: Wire | None = None
        self.expiry_s: float | None = 0.0
        """How long it outlives its connection; None: for ever."""
        self.record: Record = OFF
        """Where is noted what must outlive the process."""
        self.dropped = 0
        self.received_ids: set[int] = set()
        """QoS 2 messages from the client that are not released yet [MQTT-4.3.3-2]."""
        self._max_queued = max_queued
        self._in_flight: dict[int, Delivery] = {}
        self._queue: deque[Delivery] = deque()
        self._queued_bytes = 0
        self._last_id = 0

    @property
    def is_present(self) -> bool:
        return self.wire is not None and self.wire.has_room

    @property
    def waiting(self) -> int:
        """Messages that the client has not acknowledged."""
        return len(self._in_flight) + len(self._queue)

    def deliver(self, message: Routed, route: Route[Any]) -> None:
        """Pass a message on to the client, now or when it can take it."""
        qos = min(message.qos, route.qos)  # [MQTT-3.8.4-8]
        retain = message.retain and route.retain_as_published
        if qos is QoS.AT_MOST_ONCE:
            wire = self.wire
            if (
                wire is None
                or not wire.has_room
                or not wire.send(
                    message.frame(wire.version, retain=retain, identifiers=route.identifiers)
                )
            ):
                self.dropped += 1
        else:
            self._enqueue(Delivery(message, qos, retain, route.identifiers))

    def deliver_retained(self, message: Routed, qos: QoS, identifiers: tuple[int, ...]) -> None:
        """Pass a retained message on to a new subscription, with the flag set [MQTT-3.3.1-8]."""
        qos = min(message.qos, qos)
        wire = self.wire
        assert wire is not None
        if qos is QoS.AT_MOST_ONCE:
            wire.send(message.frame(wire.version, retain=True, identifiers=identifiers))
        else:
            self._enqueue(Delivery(message, qos, retain=True, identifiers=identifiers))

    # --- what the client answers

    def acknowledged(self, packet_id: int) -> bool:
        """PUBACK or PUBCOMP: it is done. False if nothing of this number is in flight."""
        delivery = self._in_flight.pop(packet_id, None)
        if delivery is None:
            return False
        self.record.drop(delivery)
        self.pump()
        return True

    def received(self, packet_id: int, *, failed: bool) -> bool:
        """PUBREC: the client has it, or refuses it. False if it is not in flight."""
        delivery = self._in_flight.get(packet_id)
        if delivery is None or delivery.qos is not QoS.EXACTLY_ONCE:
            return False
        if failed:  # [MQTT5-4.3.3-4]: no PUBREL
            return self.acknowledged(packet_id)
        delivery.is_received = True
        self.record.put(delivery)
        return True

    @property
    def owed(self) -> Iterable[Delivery]:
        """All that the client has not acknowledged, oldest first."""
        return (*self._in_flight.values(), *self._queue)

    def restore(self, deliveries: Iterable[Delivery]) -> None:
        """Take back, oldest first, what the client had not acknowledged in an earlier life."""
        for delivery in deliveries:
            if delivery.packet_id:
                self._in_flight[delivery.packet_id] = delivery
                self._last_id = delivery.packet_id
            else:
                self._queue.append(delivery)
                self._queued_bytes += delivery.message.size

    def resume(self) -> None:
        """Send again, in order, what the client has not acknowledged [MQTT-4.4.0-1]."""
        assert self.wire is not None
        for packet_id, delivery in tuple(self._in_flight.items()):
            if delivery.is_received:
                self.wire.send_packet(Pubrel(packet_id))
            else:
                self._send(packet_id, delivery, dup=True)
        self.pump()

    def pump(self) -> None:
        """Let go out what waits, as far as the client's window and its connection allow."""
        wire = self.wire
        while (
            self._queue
            and wire is not None
            and wire.has_room
            and len(self._in_flight) < wire.window
        ):
            delivery = self._queue.popleft()
            self._queued_bytes -= delivery.message.size
            if delivery.message.is_expired(wire.now()):  # [MQTT5-3.3.2-5]
                self.record.drop(delivery)
                continue
            self._send_first(delivery, wire)

    def _enqueue(self, delivery: Delivery) -> None:
        wire = self.wire
        if (
            not self._queue
            and wire is not None
            and wire.has_room
            and len(self._in_flight) < wire.window
        ):
            self._send_first(delivery, wire)
            return
        self._queue.append(delivery)
        self.record.put(delivery)
        self._queued_bytes += delivery.message.size
        while len(self._queue) > self._max_queued or self._queued_bytes > MAX_QUEUED_BYTES:
            oldest = self._queue.popleft()
            self._queued_bytes -= oldest.message.size
            self.record.drop(oldest)
            self.dropped += 1

    def _send_first(self, delivery: Delivery, wire: Wire) -> None:
        packet_id = delivery.packet_id = self._free_id()
        self._in_flight[packet_id] = delivery
        self.record.put(delivery)
        if delivery.qos is QoS.EXACTLY_ONCE:
            # Sent before its number is durable, it would come twice after a power cut.
            self.record.after(partial(self._send_recorded, packet_id, delivery, wire))
        else:
            self._send(packet_id, delivery, dup=False)

    def _send_recorded(self, packet_id: int, delivery: Delivery, wire: Wire) -> None:
        if self.wire is wire and self._in_flight.get(packet_id) is delivery:
            self._send(packet_id, delivery, dup=False)

    def _send(self, packet_id: int, delivery: Delivery, *, dup: bool) -> None:
        wire = self.wire
        assert wire is not None
        frame = delivery.message.numbered_frame(
            wire.version,
            packet_id,
            delivery.qos,
            retain=delivery.retain,
            dup=dup,
            identifiers=delivery.identifiers,
            now=wire.now(),
        )
        if not wire.send(frame):  # too large for this client: as if it had it [MQTT5-3.1.2-25]
            del self._in_flight[packet_id]
            self.record.drop(delivery)
            self.dropped += 1

    def _free_id(self) -> int:
        """A packet identifier that is not in use; the window keeps most of them free."""
        packet_id = self._last_id
        while True:
            packet_id = packet_id % MAX_PACKET_ID + 1
            if packet_id not in self._in_flight:
                self._last_id = packet_id
                return packet_id
