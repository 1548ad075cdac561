"""One message for one client, and the connection that it goes out by."""

from __future__ import annotations

from typing import Protocol

import msgspec

from broker.link import QoS
from broker.native.aliases import TopicAliases
from broker.native.message_run import MessageRun
from broker.native.packet import AT_LEAST_ONCE, Pubrel, Version
from broker.native.properties import EMPTY
from broker.native.publish import retained_packet
from broker.native.routed import Routed
from broker.native.router import Share


class Wire(Protocol):
    """The connection of a session that is there."""

    is_open: bool
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

    def send_run(self, run: MessageRun) -> bool:
        """Send messages as they came; false where the client can't have them so."""

    def send_packet(self, packet: Pubrel) -> bool: ...

    def now(self) -> float: ...


class Delivery(msgspec.Struct, eq=False, gc=False):
    """One message for one client, at QoS 1 or 2.

    There may be a million of them: the garbage collector would take a second to look at all.
    """

    message: Routed
    qos: QoS
    retain: bool
    identifiers: tuple[int, ...]
    size: int
    """That of the message."""
    is_received: bool = False
    """QoS 2: the client has it, only the release is open."""
    packet_id: int = 0
    """0 while it waits for its turn."""
    is_sent: bool = False
    """Whether it went out on the connection that there is."""
    number: int = 0
    """Its place in the store, in the order of arrival; 0: it isn't there."""
    share: Share | None = None
    """The shared subscription whose other members may have it instead."""

    @property
    def may_go_to_another(self) -> bool:
        """Whether others of a shared subscription may have it instead.

        A QoS 2 message that was sent may be its receiver's already [MQTT5-4.8.2-5].
        """
        return self.share is not None and (self.qos is AT_LEAST_ONCE or not self.packet_id)

    def send(self, wire: Wire, *, dup: bool) -> bool:
        """Send it; false if it is too large for the client."""
        message = self.message
        self.is_sent = True
        alias, with_topic = (None, True) if wire.aliases is None else wire.aliases.of(message.topic)
        frame = message.template(wire.version, wire.now).packet(
            self.qos,
            self.retain,
            dup,
            self.packet_id,
            subscription_identifiers=self.identifiers,
            topic_alias=alias,
            with_topic=with_topic,
        )
        if wire.send(frame):
            return True
        _untell(wire, message, alias, with_topic)
        return False


def send_at_most_once(
    wire: Wire, message: Routed, retain: bool, identifiers: tuple[int, ...]
) -> bool:
    """Send a message at QoS 0; false if it is too large for the client."""
    alias, with_topic = (None, True) if wire.aliases is None else wire.aliases.of(message.topic)
    frame = message.frame(
        wire.version,
        wire.now,
        retain=retain,
        identifiers=identifiers,
        alias=alias,
        with_topic=with_topic,
    )
    if wire.send(frame):
        return True
    _untell(wire, message, alias, with_topic)
    return False


def send_retained(wire: Wire, message: Routed, identifiers: tuple[int, ...]) -> bool:
    """Send a retained message at QoS 0; false if it is too large for the client."""
    if identifiers or wire.aliases is not None or message.properties is not EMPTY:
        return send_at_most_once(wire, message, True, identifiers)
    return wire.send(retained_packet(message.topic, message.payload, wire.version))


def _untell(wire: Wire, message: Routed, alias: int | None, with_topic: bool) -> None:
    if wire.aliases is not None and alias is not None and with_topic:
        wire.aliases.untold(message.topic)
