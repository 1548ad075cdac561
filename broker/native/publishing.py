"""What a client publishes: whether it may, and by which way it goes to those who want it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.access import Action
from broker.errors import PacketError
from broker.native.aliases import MAX_ALIASES
from broker.native.connection import Connection
from broker.native.message_run import MessageRun
from broker.native.mqtt_session import MqttSession
from broker.native.packet import (
    AT_LEAST_ONCE,
    EXACTLY_ONCE,
    V5,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
)
from broker.native.properties import EMPTY
from broker.native.reason import Reason
from broker.native.replies import Replies
from broker.native.routed import Routed
from broker.native.router import Routes

if TYPE_CHECKING:
    from broker.native.core import Core

RECEIVE_MAXIMUM = 1000
"""QoS 2 messages that an MQTT 5 client may have open with us at once; before 5 it can't be told."""

MAX_VERDICTS = 1000
"""Topics for which a client's right to publish is remembered; beyond it they are judged anew."""

MAX_LENGTH = 100
"""Characters of a topic of which anything is remembered; with more, each message goes the long way.
"""

_SUCCESS, _NOT_FOUND = Reason.SUCCESS, Reason.PACKET_IDENTIFIER_NOT_FOUND
_NOT_AUTHORIZED = Reason.NOT_AUTHORIZED


class Publishing:
    """PUBLISH and PUBREL of one connection."""

    __slots__ = (
        "_aliases",
        "_connection",
        "_core",
        "_open_topics",
        "_replies",
        "_session",
        "_verdicts",
        "_version",
    )

    def __init__(
        self, core: Core, connection: Connection, session: MqttSession, replies: Replies
    ) -> None:
        self._core = core
        self._connection = connection
        self._session = session
        self._replies = replies
        self._version = connection.version
        self._aliases: dict[int, str] = {}
        self._verdicts: dict[str, bool] = {}
        self._open_topics: dict[bytes, Routes[Any]] = {}
        connection.open_topics(self._open_topics)

    def publish(self, packet: Publish) -> None:
        """Pass a message on and acknowledge it; raises PacketError where it may not be sent."""
        self._core.counters.publishes_received += 1
        topic = packet.topic
        if packet.properties.topic_alias is not None:
            topic = self._resolve_alias(packet.properties.topic_alias, topic)
        if packet.qos is EXACTLY_ONCE:
            self._publish_exactly_once(packet, topic)
            return
        since = self._core.store.noted
        reason = self._route(packet, topic)
        if packet.qos is AT_LEAST_ONCE:
            self._replies.settle(Puback(packet.packet_id, self._replies.reason(reason)), since)
        elif reason is not _NOT_AUTHORIZED:
            self._open(packet, topic)

    def _publish_exactly_once(self, packet: Publish, topic: str) -> None:
        session, packet_id, is_5 = self._session, packet.packet_id, self._version is V5
        if packet_id in session.received_ids:  # [MQTT-4.3.3-2]: we have it
            self._replies.settle(Pubrec(packet_id), since=-1)  # perhaps not durable yet
            return
        if is_5 and len(session.received_ids) >= RECEIVE_MAXIMUM:  # [MQTT5-3.3.4-9]
            raise PacketError(Reason.RECEIVE_MAXIMUM_EXCEEDED, "too many open QoS 2 messages")
        if not session.begin(packet_id):
            raise PacketError(Reason.QUOTA_EXCEEDED, "the broker can keep no more")
        since = self._core.store.noted
        reason = self._route(packet, topic)
        if reason.is_failure and is_5:  # before it, PUBREL comes
            session.end(packet_id)
        else:
            session.record.received(packet_id)
        self._replies.settle(Pubrec(packet_id, self._replies.reason(reason)), since)

    def release(self, packet: Pubrel) -> None:
        """A QoS 2 message will not come again."""
        since = self._core.store.noted
        reason = _NOT_FOUND
        if self._session.end(packet.packet_id):
            reason = _SUCCESS
            self._session.record.released(packet.packet_id)
        self._replies.settle(Pubcomp(packet.packet_id, self._replies.reason(reason)), since)

    def forward(self, run: MessageRun) -> None:
        """Pass on messages to topics that are open, as they came."""
        self._core.counters.publishes_received += run.count
        self._core.forward(run, self._session)

    def forget_verdicts(self) -> None:
        """Whatever was found before doesn't count any more."""
        self._verdicts.clear()
        self._open_topics.clear()

    def _route(self, packet: Publish, topic: str) -> Reason:
        if not self._may_publish(topic):
            return _NOT_AUTHORIZED
        message = Routed.of(packet, topic, self._version, self._connection.now)
        return self._core.publish(message, self._session)

    def _may_publish(self, topic: str) -> bool:
        verdict = self._verdicts.get(topic)
        if verdict is None:
            session = self._session
            verdict = not topic.startswith("$") and self._core.policy.may(
                session.user, Action.PUBLISH, topic, client_id=session.client_id
            )
            if len(self._verdicts) >= MAX_VERDICTS:
                self._verdicts.clear()
            if len(topic) <= MAX_LENGTH:
                self._verdicts[topic] = verdict
        return verdict

    def _open(self, packet: Publish, topic: str) -> None:
        """Let the next messages to a topic go on as they come, if they are like this one."""
        if not packet.retain and packet.properties is EMPTY and len(topic) <= MAX_LENGTH:
            self._core.remember(topic, self._open_topics)

    def _resolve_alias(self, alias: int, topic: str) -> str:
        if alias > MAX_ALIASES:  # [MQTT5-3.3.2-9]
            raise PacketError(
                Reason.TOPIC_ALIAS_INVALID, f"a topic alias above the maximum {alias}"
            )
        if topic:
            self._aliases[alias] = topic
            return topic
        known = self._aliases.get(alias)
        if known is None:
            raise PacketError(Reason.PROTOCOL_ERROR, f"topic alias {alias} stands for nothing")
        return known
