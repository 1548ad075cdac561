"""What a client that was let in says, packet by packet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from broker.errors import PacketError
from broker.native.connection import Connection
from broker.native.message_run import MessageRun
from broker.native.mqtt_session import MqttSession
from broker.native.packet import (
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    Unsubscribe,
)
from broker.native.publishing import Publishing
from broker.native.reason import Reason
from broker.native.replies import Replies
from broker.native.subscribing import Subscribing

if TYPE_CHECKING:
    from broker.native.core import Core

_SUCCESS, _NOT_FOUND = Reason.SUCCESS, Reason.PACKET_IDENTIFIER_NOT_FOUND


class Conversation:
    """From CONNACK on, as long as the session is this connection's; DISCONNECT is not for it."""

    __slots__ = ("_connection", "_publishing", "_replies", "_store", "_subscribing", "session")

    def __init__(self, core: Core, connection: Connection, session: MqttSession) -> None:
        self.session = session
        self._connection = connection
        self._store = core.store
        self._replies = Replies(connection, core.store)
        self._publishing = Publishing(core, connection, session, self._replies)
        self._subscribing = Subscribing(core, connection, session, self._replies)

    def handle(self, packet: Packet) -> None:
        """Do what a packet asks for; raises PacketError where it may not be sent."""
        handler = self._HANDLERS.get(type(packet))
        if handler is None:  # a second CONNECT [MQTT-3.1.0-2], AUTH that nobody asked for
            raise PacketError(Reason.PROTOCOL_ERROR, f"no {type(packet).__name__} may come now")
        handler(self, packet)

    def forward(self, run: MessageRun) -> None:
        """Pass messages on as they came."""
        self._publishing.forward(run)

    def forget_verdicts(self) -> None:
        """What was found of the client's rights doesn't count any more."""
        self._publishing.forget_verdicts()

    def _publish(self, packet: Publish) -> None:
        self._publishing.publish(packet)

    def _pubrel(self, packet: Pubrel) -> None:
        self._publishing.release(packet)

    def _subscribe(self, packet: Subscribe) -> None:
        self._subscribing.subscribe(packet)

    def _unsubscribe(self, packet: Unsubscribe) -> None:
        self._subscribing.unsubscribe(packet)

    def _puback(self, packet: Puback) -> None:
        self.session.acknowledged(packet.packet_id)
        self._subscribing.go_on()

    def _pubrec(self, packet: Pubrec) -> None:
        failed = packet.reason.is_failure
        since = self._store.noted
        is_known = self.session.received(packet.packet_id, failed=failed)
        if failed:
            self._subscribing.go_on()
            return
        reason = _SUCCESS if is_known else _NOT_FOUND
        # Released before we know that it has it, it would come twice after a power cut.
        self._replies.settle(Pubrel(packet.packet_id, self._replies.reason(reason)), since)

    def _pubcomp(self, packet: Pubcomp) -> None:
        self.session.completed(packet.packet_id)
        self._subscribing.go_on()

    def _pingreq(self, _packet: Pingreq) -> None:
        self._connection.send_packet(Pingresp())

    _HANDLERS: ClassVar[Mapping[type, Callable[[Conversation, Any], None]]] = {
        Publish: _publish,
        Puback: _puback,
        Pubrec: _pubrec,
        Pubrel: _pubrel,
        Pubcomp: _pubcomp,
        Subscribe: _subscribe,
        Unsubscribe: _unsubscribe,
        Pingreq: _pingreq,
    }
