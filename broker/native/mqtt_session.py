"""An MQTT session: what one client id is owed, whether it is connected or not.

QoS 0 goes out now or never. QoS 1 and 2 are in flight up to a window and wait behind it, in
order, up to a bound in messages and bytes; beyond that the oldest that waits is dropped. What all
sessions together are owed has a bound, too: see `backlog`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from broker.access import ANONYMOUS, User
from broker.errors import PacketError
from broker.link import QoS
from broker.native.backlog import Backlog
from broker.native.delivery import Delivery, Wire, send_at_most_once, send_retained
from broker.native.message_queue import MAX_MESSAGES, MessageQueue
from broker.native.message_run import MessageRun
from broker.native.packet import AT_LEAST_ONCE, AT_MOST_ONCE, EXACTLY_ONCE, Pubrel
from broker.native.reason import Reason
from broker.native.record import OFF, Record
from broker.native.routed import Routed
from broker.native.router import Route

MAX_IN_FLIGHT_BYTES = 4 * 1024 * 1024
"""What a client may leave unacknowledged; beyond it the next waits as it does for the window."""

MAX_PACKET_ID = 65_535

NUMBER_BYTES = 100
"""What the number of one unreleased QoS 2 message from the client costs, about."""


class MqttSession:
    """The state that [MQTT-3.1.2-4] calls Session State, and the rules of delivery."""

    def __init__(
        self,
        client_id: str,
        user: User = ANONYMOUS,
        *,
        backlog: Backlog | None = None,
        max_queued: int = MAX_MESSAGES,
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
        self._backlog = backlog or Backlog()
        self._in_flight: dict[int, Delivery] = {}
        self._in_flight_bytes = 0
        self._unsent: deque[int] = deque()  # of those in flight, not sent on this connection yet
        self._queue = MessageQueue(self._backlog, self._give_up, max_messages=max_queued)
        self._queued = self._queue.deliveries
        self._last_id = 0

    @property
    def is_present(self) -> bool:
        return self.wire is not None and self.wire.has_room

    @property
    def waiting(self) -> int:
        """Messages that the client has not acknowledged."""
        return len(self._in_flight) + len(self._queued)

    @property
    def is_half_full(self) -> bool:
        """Whether so much waits that what can come later had better."""
        return self._queue.is_half_full

    def deliver(self, message: Routed, route: Route[Any]) -> None:
        """Pass a message on to the client, now or when it can take it."""
        qos = min(route.qos, message.qos)  # [MQTT-3.8.4-8]
        retain = message.retain and route.retain_as_published
        if qos is AT_MOST_ONCE:
            wire = self.wire
            if wire is not None and not (
                wire.has_room and send_at_most_once(wire, message, retain, route.identifiers)
            ):
                self.dropped += 1
        else:
            self._enqueue(
                Delivery(message, qos, retain, route.identifiers, message.size, share=route.share)
            )

    def deliver_run(self, run: MessageRun, route: Route[Any]) -> None:
        """Pass on what came at QoS 0: as it came, where the client can have it so."""
        wire = self.wire
        if wire is None:
            return
        if not wire.has_room:
            self.dropped += run.count
        elif route.identifiers or not wire.send_run(run):
            for message in run.messages:
                self.deliver(message, route)

    def deliver_retained(self, message: Routed, qos: QoS, identifiers: tuple[int, ...]) -> None:
        """Pass a retained message on to a new subscription, with the flag set [MQTT-3.3.1-8]."""
        qos = min(message.qos, qos)
        if qos is not AT_MOST_ONCE:
            self._enqueue(Delivery(message, qos, True, identifiers, message.size))
        elif self.wire is not None and not send_retained(self.wire, message, identifiers):
            self.dropped += 1

    # --- what the client answers

    def acknowledged(self, packet_id: int) -> bool:
        """PUBACK: it is done. False if nothing of this number is in flight."""
        delivery = self._in_flight.get(packet_id)
        if delivery is None:
            return False
        if delivery.qos is not AT_LEAST_ONCE:
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
        if delivery.qos is not EXACTLY_ONCE:
            raise PacketError(Reason.PROTOCOL_ERROR, f"message {packet_id} is not of QoS 2")
        if failed:  # [MQTT5-4.3.3-4]: no PUBREL
            self._done(delivery)
            return True
        if not delivery.is_received:
            delivery.is_received = True
            self.record.put(delivery)
        return True

    def _done(self, delivery: Delivery) -> None:
        self._land(delivery)
        self.pump()

    # --- what the client sends at QoS 2

    def begin(self, packet_id: int) -> bool:
        """A message of this number came that we have not; false where there is no room for it."""
        if not self._backlog.reserve(NUMBER_BYTES):
            return False
        self.received_ids.add(packet_id)
        return True

    def end(self, packet_id: int) -> bool:
        """It is released, or refused; false if there was none."""
        if packet_id not in self.received_ids:
            return False
        self.received_ids.remove(packet_id)
        self._backlog.release(NUMBER_BYTES)
        return True

    # --- while it is away, and when it comes back

    @property
    def owed(self) -> Sequence[Delivery]:
        """All that the client has not acknowledged, oldest first."""
        return (*self._in_flight.values(), *self._queued)

    def close(self) -> Sequence[Delivery]:
        """The session has ended; gives what others of a shared subscription may have instead."""
        owed = self.owed
        self._in_flight.clear()
        self._queue.take_out(lambda _each: True)
        for each in owed:
            self._backlog.let_go(each.message, each.size)
        self._backlog.release(NUMBER_BYTES * len(self.received_ids))
        self.received_ids.clear()
        return [each for each in owed if each.may_go_to_another]

    def withdraw(self, is_withdrawn: Callable[[str], bool]) -> Sequence[Delivery]:
        """Take away what the client has not got yet of topics that it may not read any more.

        Gives what others of a shared subscription may have instead.
        """
        queued = self._queue.take_out(lambda each: is_withdrawn(each.message.topic))
        for each in queued:
            self._let_go(each)
        flying = [
            each
            for each in self._in_flight.values()
            if not (each.is_received or (each.is_sent and self.wire is not None))
            and is_withdrawn(each.message.topic)
        ]
        for each in flying:
            self._land(each)
        self._unsent = deque(each for each in self._unsent if each in self._in_flight)
        self.pump()
        return [each for each in (*flying, *queued) if each.may_go_to_another]

    def restore(self, received_ids: set[int], deliveries: Iterable[Delivery]) -> None:
        """Take back what it had, and oldest first what it was owed, in an earlier life."""
        self.received_ids = received_ids
        self._backlog.take_back_bytes(NUMBER_BYTES * len(received_ids))
        for delivery in deliveries:
            self._backlog.take_back(delivery.message, delivery.size)
            if delivery.packet_id:
                self._in_flight[delivery.packet_id] = delivery
                self._in_flight_bytes += delivery.size
                self._last_id = delivery.packet_id
            else:
                self._queue.append(delivery)

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
        if not self._unsent and not self._queued:
            return
        wire = self.wire
        while wire is not None and self._may_send(wire):
            if self._unsent:
                packet_id = self._unsent.popleft()
                again = self._in_flight.get(packet_id)
                if again is not None:
                    self._send(again, wire, dup=True)
            elif self._queued and self._in_flight_bytes < MAX_IN_FLIGHT_BYTES:
                delivery = self._queue.popleft()
                if delivery.message.is_expired(wire.now()):  # [MQTT5-3.3.2-5]
                    self._let_go(delivery)
                    continue
                self._send_first(delivery, wire)
            else:
                return

    # --- how

    def _may_send(self, wire: Wire) -> bool:
        return wire.has_room and len(self._in_flight) - len(self._unsent) < wire.window

    def _enqueue(self, delivery: Delivery) -> None:
        if not self._backlog.take(delivery.message, delivery.size):
            self.dropped += 1
            return
        wire = self.wire
        if (
            wire is not None
            and not self._queued
            and not self._unsent
            and self._may_send(wire)
            and self._in_flight_bytes < MAX_IN_FLIGHT_BYTES
        ):
            self._send_first(delivery, wire)
        else:
            self.record.put(delivery)
            self._queue.append(delivery)

    def _land(self, delivery: Delivery) -> None:
        del self._in_flight[delivery.packet_id]
        self._in_flight_bytes -= delivery.size
        self.record.drop(delivery)
        self._backlog.let_go(delivery.message, delivery.size)

    def _give_up(self, delivery: Delivery) -> None:
        self._let_go(delivery)
        self.dropped += 1

    def _let_go(self, delivery: Delivery) -> None:
        self.record.drop(delivery)
        self._backlog.let_go(delivery.message, delivery.size)

    def _send_first(self, delivery: Delivery, wire: Wire) -> None:
        self._last_id = delivery.packet_id = self._free_id()
        self._in_flight[delivery.packet_id] = delivery
        self._in_flight_bytes += delivery.size
        self.record.put(delivery)
        if delivery.qos is EXACTLY_ONCE:
            # Sent before its number is durable, it would come twice after a power cut.
            self.record.after(partial(self._send_recorded, delivery, wire), wire)
        else:
            self._send(delivery, wire, dup=False)

    def _send_recorded(self, delivery: Delivery, wire: Wire) -> None:
        if self.wire is wire and self._in_flight.get(delivery.packet_id) is delivery:
            self._send(delivery, wire, dup=False)

    def _send(self, delivery: Delivery, wire: Wire, *, dup: bool) -> None:
        if not delivery.send(wire, dup=dup):  # as if the client had it [MQTT5-3.1.2-25]
            self._land(delivery)
            self.dropped += 1

    def _free_id(self) -> int:
        """A packet identifier that is not in use; the window keeps most of them free."""
        packet_id = self._last_id
        while True:
            packet_id = packet_id % MAX_PACKET_ID + 1
            if packet_id not in self._in_flight:
                return packet_id
