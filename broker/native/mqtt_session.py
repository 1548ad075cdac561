"""An MQTT session: what one client id is owed, whether it is connected or not.

QoS 0 goes out now or never. QoS 1 and 2 are in flight up to a window and wait behind it, in
order, up to a bound in messages and bytes; beyond that the oldest that waits is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from broker.access import ANONYMOUS, User
from broker.errors import PacketError
from broker.link import QoS
from broker.native.aliases import TopicAliases
from broker.native.packet import Pubrel, Version
from broker.native.reason import Reason
from broker.native.record import OFF, Record
from broker.native.routed import Routed
from broker.native.router import Route, ShareGroup

MAX_QUEUED = 10_000
MAX_QUEUED_BYTES = 64 * 1024 * 1024
"""What waits for one client: hours of a device's messages, and no client costs more."""

MAX_PACKET_ID = 65_535


class Wire(Protocol):
    """The connection of a session that is there."""

    version: Version
    window: int
    """How many QoS 1 and 2 messages the client takes unacknowledged [MQTT5-3.3.4-9]."""
    aliases: TopicAliases | None
    """Those that the client lets us give; None where it wants none [MQTT5-3.1.2-26]."""

    @property
    def has_room(self) -> bool:
        """Whether the client takes what is sent to it."""

    def send(self, frame: bytes) -> bool:
        """Send a whole packet; false if it is larger than the client takes [MQTT5-3.1.2-24]."""

    def send_packet(self, packet: Pubrel) -> bool: ...

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
    is_sent: bool = False
    """Whether it went out on the connection that there is."""
    number: int = 0
    """Its place in the store, in the order of arrival; 0: it isn't there."""
    group: ShareGroup[Any] | None = None
    """Whose other members may have it instead."""

    @property
    def may_go_to_another(self) -> bool:
        """Whether others of a shared subscription may have it instead.

        A QoS 2 message that was sent may be its receiver's already [MQTT5-4.8.2-5].
        """
        return self.group is not None and (self.qos is QoS.AT_LEAST_ONCE or not self.packet_id)


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
        self._unsent: deque[int] = deque()  # of those in flight, not sent on this connection yet
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

    @property
    def is_half_full(self) -> bool:
        """Whether so much waits that what can come later had better."""
        return (
            len(self._queue) * 2 >= self._max_queued or self._queued_bytes * 2 >= MAX_QUEUED_BYTES
        )

    def deliver(self, message: Routed, route: Route[Any]) -> None:
        """Pass a message on to the client, now or when it can take it."""
        qos = min(message.qos, route.qos)  # [MQTT-3.8.4-8]
        retain = message.retain and route.retain_as_published
        if qos is QoS.AT_MOST_ONCE:
            wire = self.wire
            if wire is not None and not (
                wire.has_room and _send_now(wire, message, retain, route.identifiers)
            ):
                self.dropped += 1
        else:
            self._enqueue(Delivery(message, qos, retain, route.identifiers, group=route.group))

    def deliver_retained(self, message: Routed, qos: QoS, identifiers: tuple[int, ...]) -> None:
        """Pass a retained message on to a new subscription, with the flag set [MQTT-3.3.1-8]."""
        qos = min(message.qos, qos)
        if qos is not QoS.AT_MOST_ONCE:
            self._enqueue(Delivery(message, qos, retain=True, identifiers=identifiers))
        elif self.wire is not None and not _send_now(self.wire, message, True, identifiers):
            self.dropped += 1

    # --- what the client answers

    def acknowledged(self, packet_id: int) -> bool:
        """PUBACK: it is done. False if nothing of this number is in flight."""
        delivery = self._in_flight.get(packet_id)
        if delivery is None:
            return False
        if delivery.qos is not QoS.AT_LEAST_ONCE:
            raise PacketError(Reason.PROTOCOL_ERROR, f"message {packet_id} is not of QoS 1")
        self._done(delivery)
        return True

    def completed(self, packet_id: int) -> bool:
        """PUBCOMP: it is done. False if nothing of this number is in flight."""
        delivery = self._in_flight.get(packet_id)
        if delivery is None:
            return False
        if not delivery.is_received:
            raise PacketError(Reason.PROTOCOL_ERROR, f"message {packet_id} was not released")
        self._done(delivery)
        return True

    def received(self, packet_id: int, *, failed: bool) -> bool:
        """PUBREC: the client has it, or refuses it. False if it is not in flight."""
        delivery = self._in_flight.get(packet_id)
        if delivery is None:
            return False
        if delivery.qos is not QoS.EXACTLY_ONCE:
            raise PacketError(Reason.PROTOCOL_ERROR, f"message {packet_id} is not of QoS 2")
        if failed:  # [MQTT5-4.3.3-4]: no PUBREL
            self._done(delivery)
            return True
        delivery.is_received = True
        self.record.put(delivery)
        return True

    def _done(self, delivery: Delivery) -> None:
        del self._in_flight[delivery.packet_id]
        self.record.drop(delivery)
        self.pump()

    # --- while it is away, and when it comes back

    @property
    def owed(self) -> Iterable[Delivery]:
        """All that the client has not acknowledged, oldest first."""
        return (*self._in_flight.values(), *self._queue)

    def orphans(self) -> Iterable[Delivery]:
        """What others of a shared subscription may have when this session has ended."""
        return [each for each in self.owed if each.may_go_to_another]

    def withdraw(self, is_withdrawn: Callable[[str], bool]) -> Sequence[Delivery]:
        """Take away what the client has not got yet of topics that it may not read any more.

        Gives what others of a shared subscription may have instead.
        """
        is_away = self.wire is None
        found = [
            each
            for each in self.owed
            if not each.is_received
            and (is_away or not each.is_sent)
            and is_withdrawn(each.message.topic)
        ]
        if found:
            numbers = {each.packet_id for each in found} - {0}
            self._unsent = deque(each for each in self._unsent if each not in numbers)
            self._queue = deque(
                each for each in self._queue if not is_withdrawn(each.message.topic)
            )
        for each in found:
            if each.packet_id:
                del self._in_flight[each.packet_id]
            else:
                self._queued_bytes -= each.message.size
            self.record.drop(each)
        self.pump()
        return [each for each in found if each.may_go_to_another]

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
        """Send again, in order, what the client has not acknowledged [MQTT-4.4.0-1].

        Of messages no more than it takes at once, which may be fewer than last time.
        """
        assert self.wire is not None
        self._unsent.clear()
        for packet_id, delivery in self._in_flight.items():
            if delivery.is_received:
                self.wire.send_packet(Pubrel(packet_id))
            else:
                delivery.is_sent = False
                self._unsent.append(packet_id)
        self.pump()

    def pump(self) -> None:
        """Let go out what waits, as far as the client's window and its connection allow."""
        wire = self.wire
        while wire is not None and self._may_send(wire):
            if self._unsent:
                packet_id = self._unsent.popleft()
                again = self._in_flight.get(packet_id)
                if again is not None:
                    self._send(packet_id, again, wire, dup=True)
            elif self._queue:
                delivery = self._queue.popleft()
                self._queued_bytes -= delivery.message.size
                if delivery.message.is_expired(wire.now()):  # [MQTT5-3.3.2-5]
                    self.record.drop(delivery)
                    continue
                self._send_first(delivery, wire)
            else:
                return

    def _may_send(self, wire: Wire) -> bool:
        return wire.has_room and len(self._in_flight) - len(self._unsent) < wire.window

    def _enqueue(self, delivery: Delivery) -> None:
        wire = self.wire
        if wire is not None and not self._queue and not self._unsent and self._may_send(wire):
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
            self._send(packet_id, delivery, wire, dup=False)

    def _send_recorded(self, packet_id: int, delivery: Delivery, wire: Wire) -> None:
        if self.wire is wire and self._in_flight.get(packet_id) is delivery:
            self._send(packet_id, delivery, wire, dup=False)

    def _send(self, packet_id: int, delivery: Delivery, wire: Wire, *, dup: bool) -> None:
        message = delivery.message
        delivery.is_sent = True
        alias, with_topic = (None, True) if wire.aliases is None else wire.aliases.of(message.topic)
        frame = message.numbered_frame(
            wire.version,
            packet_id,
            delivery.qos,
            retain=delivery.retain,
            dup=dup,
            identifiers=delivery.identifiers,
            alias=alias,
            with_topic=with_topic,
            now=wire.now(),
        )
        if not wire.send(frame):  # too large for this client: as if it had it [MQTT5-3.1.2-25]
            _untell(wire, message, alias, with_topic)
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


def _send_now(wire: Wire, message: Routed, retain: bool, identifiers: tuple[int, ...]) -> bool:
    """Send a message at QoS 0; false if it is too large for the client."""
    now = 0.0 if message.expires_at is None else wire.now()
    if wire.aliases is None:
        return wire.send(
            message.frame(wire.version, retain=retain, identifiers=identifiers, now=now)
        )
    alias, with_topic = wire.aliases.of(message.topic)
    frame = message.frame(
        wire.version,
        retain=retain,
        identifiers=identifiers,
        alias=alias,
        with_topic=with_topic,
        now=now,
    )
    if wire.send(frame):
        return True
    _untell(wire, message, alias, with_topic)
    return False


def _untell(wire: Wire, message: Routed, alias: int | None, with_topic: bool) -> None:
    if wire.aliases is not None and alias is not None and with_topic:
        wire.aliases.untold(message.topic)
