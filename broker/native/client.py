"""A client: what each of its packets does, from CONNECT on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from broker.access import Action, User
from broker.errors import PacketError
from broker.link import QoS
from broker.native.connection import Connection
from broker.native.mqtt_session import MqttSession
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
    Unsuback,
    Unsubscribe,
    Version,
    Will,
)
from broker.native.properties import EMPTY, Properties
from broker.native.reason import Reason
from broker.native.routed import Routed
from broker.native.router import Grant
from broker.native.share import split_share

if TYPE_CHECKING:
    from broker.native.core import Core

RECEIVE_MAXIMUM = 1000
"""QoS 2 messages that a client may have open with us at once."""

TOPIC_ALIAS_MAXIMUM = 100
MAX_VERDICTS = 1000
"""Topics for which a client's right to publish is remembered; beyond it they are judged anew."""

MAX_SUBSCRIPTIONS = 20_000
MAX_UNSETTLED = 1000
"""Answers that wait for the disk, for one client; beyond it nothing more is read from it."""

WINDOW_3 = 20
WINDOW_5 = 100
"""Unacknowledged messages to a client: what devices before MQTT 5 put up with, and at most."""


class Client:
    """The rules of one connection. Its MQTT session may be older, and outlive it."""

    def __init__(self, core: Core, connection: Connection) -> None:
        self._core = core
        self._connection = connection
        self._aliases: dict[int, str] = {}
        self._verdicts: dict[str, bool] = {}
        self._joining: asyncio.Task[None] | None = None
        self._version = Version.V311
        self._unsettled = 0
        self._is_held = False
        self._handlers: dict[type[Packet], Callable[[Any], None]] = {
            Publish: self._publish,
            Puback: self._acknowledged,
            Pubrec: self._pubrec,
            Pubrel: self._pubrel,
            Pubcomp: self._acknowledged,
            Subscribe: self._subscribe,
            Unsubscribe: self._unsubscribe,
            Pingreq: self._pingreq,
            Disconnect: self._disconnect,
        }
        self._session: MqttSession | None = None
        self.user = User(None)
        self.client_id = ""
        self.will: Will | None = None

    # --- from the connection

    def handle(self, packet: Packet) -> None:
        """Do what a packet asks for; raises PacketError where it may not be sent."""
        if self._session is None:
            if not isinstance(packet, Connect):  # [MQTT-3.1.0-1]
                raise PacketError(Reason.PROTOCOL_ERROR, "the first packet must be CONNECT")
            self._connect(packet)
            return
        handler = self._handlers.get(type(packet))
        if handler is None:  # a second CONNECT [MQTT-3.1.0-2], AUTH that nobody asked for
            raise PacketError(Reason.PROTOCOL_ERROR, f"no {type(packet).__name__} may come now")
        handler(packet)

    def fail(self, error: PacketError) -> None:
        """Say goodbye to a client that broke the rules."""
        reason = error.reason
        if self._session is None:
            self._refuse(reason, str(error))
            return
        self.end(reason, str(error))

    def end(self, reason: Reason, message: str = "") -> None:
        """End the connection; MQTT 5 hears why."""
        if self._version is Version.V5 and self._session is not None:
            properties = Properties(reason_string=message) if message else EMPTY
            self._connection.send_packet(Disconnect(reason, properties))
        self._connection.close()

    def lost(self) -> None:
        """The connection is gone: the session may stay, the will may be due."""
        if self._joining is not None:
            self._joining.cancel()
        session, self._session = self._session, None
        if session is not None:
            self._core.left(self, session)

    def take_over(self, reason: Reason = Reason.SESSION_TAKEN_OVER) -> None:
        """Let go of the session now: another connection has its client id [MQTT-3.1.4-3]."""
        session = self._session
        self.end(reason)
        self._session = None
        if session is not None:
            self._core.left(self, session)

    def has_room(self) -> None:
        if self._session is not None:
            self._session.pump()

    # --- CONNECT

    def _connect(self, connect: Connect) -> None:
        self._version = self._connection.version = connect.version
        if connect.properties.authentication_method is not None:  # [MQTT5-4.12.0-1]
            self._refuse(Reason.BAD_AUTHENTICATION_METHOD, "no authentication method is known")
            return
        if not connect.client_id and not connect.clean_start and connect.version is Version.V311:
            self._refuse(Reason.CLIENT_IDENTIFIER_NOT_VALID, "")  # [MQTT-3.1.3-8]
            return
        if not connect.client_id and connect.version is Version.V31:
            self._refuse(Reason.CLIENT_IDENTIFIER_NOT_VALID, "")  # 3.1: 1 to 23 characters
            return
        # Whether a password is right takes a while to find out, and nothing changes until then.
        self._connection.hold()
        self._joining = asyncio.get_running_loop().create_task(self._join(connect))

    async def _join(self, connect: Connect) -> None:
        if self._connection.must_log_in and connect.username is None:
            self._joining = None
            self._refuse(Reason.NOT_AUTHORIZED, "nobody is anonymous here")
            return
        user, reason = await self._core.authenticate(
            connect.username, connect.password, self._connection.peer_host
        )
        self._joining = None
        if not self._connection.is_open:
            return
        client_id = connect.client_id or self._core.new_client_id()
        if user is None:
            self._refuse(reason, "")
            return
        self.user, self.client_id = user, client_id
        if connect.will is not None and not self._may_publish(connect.will.topic):
            self._refuse(Reason.NOT_AUTHORIZED, "the will may not be published")
            return
        properties = connect.properties
        self._connection.max_frame_bytes = properties.maximum_packet_size
        self._connection.window = (
            min(properties.receive_maximum or 65_535, WINDOW_5)
            if self._version is Version.V5
            else WINDOW_3
        )
        session, is_present = self._core.join(
            self, clean_start=connect.clean_start, expiry_s=_expiry_s(connect)
        )
        self._session = session
        self.will = connect.will
        assigned = client_id if not connect.client_id else None
        self._connection.connected(connect.keep_alive_s)
        self._connection.send_packet(Connack(is_present, Reason.SUCCESS, self._welcome(assigned)))
        session.wire = self._connection
        session.resume()
        self._connection.release()

    def _welcome(self, assigned: str | None) -> Properties:
        if self._version is not Version.V5:
            return EMPTY
        return Properties(
            assigned_client_identifier=assigned,
            receive_maximum=RECEIVE_MAXIMUM,
            topic_alias_maximum=TOPIC_ALIAS_MAXIMUM,
            maximum_packet_size=self._core.max_packet_bytes,
        )

    def _refuse(self, reason: Reason, message: str) -> None:
        properties = EMPTY
        if message and self._version is Version.V5:
            properties = Properties(reason_string=message)
        self._connection.send_packet(Connack(False, reason, properties))
        self._connection.close()

    # --- PUBLISH and its kin

    def _publish(self, packet: Publish) -> None:
        session = self._session
        assert session is not None
        self._core.counters.publishes_received += 1
        topic = packet.topic
        if packet.properties.topic_alias is not None:
            topic = self._resolve_alias(packet.properties.topic_alias, topic)
        qos = packet.qos
        if qos is QoS.EXACTLY_ONCE:
            if packet.packet_id in session.received_ids:  # [MQTT-4.3.3-2]: we have it
                self._settle(Pubrec(packet.packet_id), since=-1)  # perhaps not durable yet
                return
            if len(session.received_ids) >= RECEIVE_MAXIMUM:  # [MQTT5-3.3.4-9]
                raise PacketError(Reason.RECEIVE_MAXIMUM_EXCEEDED, "too many open QoS 2 messages")
        since = self._core.store.noted
        reason = Reason.NOT_AUTHORIZED
        if self._may_publish(topic):
            message = Routed.of(packet, topic, self._version, self._connection.now())
            reason = self._core.publish(message, session)
        if qos is QoS.AT_LEAST_ONCE:
            self._settle(Puback(packet.packet_id, self._answer(reason)), since)
        elif qos is QoS.EXACTLY_ONCE:
            if not reason.is_failure or self._version is not Version.V5:
                session.received_ids.add(packet.packet_id)  # before 5, PUBREL comes all the same
                session.record.received(packet.packet_id)
            self._settle(Pubrec(packet.packet_id, self._answer(reason)), since)

    def _settle(self, packet: Packet, since: int) -> None:
        """Answer when what was noted since then is durable, and after the answers before it."""
        store = self._core.store
        if store.noted == since and not self._unsettled:
            self._connection.send_packet(packet)
            return
        self._unsettled += 1
        if self._unsettled == MAX_UNSETTLED and not self._is_held:
            self._is_held = True
            self._connection.hold()
        store.after(partial(self._settled, packet))

    def _settled(self, packet: Packet) -> None:
        self._unsettled -= 1
        if self._connection.is_open:
            self._connection.send_packet(packet)
        if self._is_held and self._unsettled <= MAX_UNSETTLED // 2:
            self._is_held = False
            self._connection.release()

    def _answer(self, reason: Reason) -> Reason:
        return reason if self._version is Version.V5 else Reason.SUCCESS

    def _resolve_alias(self, alias: int, topic: str) -> str:
        if alias > TOPIC_ALIAS_MAXIMUM:  # [MQTT5-3.3.2-9]
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

    def _acknowledged(self, packet: Puback | Pubcomp) -> None:
        assert self._session is not None
        self._session.acknowledged(packet.packet_id)

    def _pingreq(self, _packet: Pingreq) -> None:
        self._connection.send_packet(Pingresp())

    def _pubrec(self, packet: Pubrec) -> None:
        assert self._session is not None
        failed = packet.reason.is_failure
        is_known = self._session.received(packet.packet_id, failed=failed)
        if failed:
            return
        reason = Reason.SUCCESS if is_known else Reason.PACKET_IDENTIFIER_NOT_FOUND
        pubrel = Pubrel(packet.packet_id, self._answer(reason))
        # Released before we know that it has it, it would come twice after a power cut.
        self._session.record.after(partial(self._send_if_open, pubrel))

    def _send_if_open(self, packet: Packet) -> None:
        if self._connection.is_open:
            self._connection.send_packet(packet)

    def _pubrel(self, packet: Pubrel) -> None:
        assert self._session is not None
        is_known = packet.packet_id in self._session.received_ids
        since = self._core.store.noted
        self._session.received_ids.discard(packet.packet_id)
        self._session.record.released(packet.packet_id)
        reason = Reason.SUCCESS if is_known else Reason.PACKET_IDENTIFIER_NOT_FOUND
        self._settle(Pubcomp(packet.packet_id, self._answer(reason)), since)

    def _may_publish(self, topic: str) -> bool:
        verdict = self._verdicts.get(topic)
        if verdict is None:
            if len(self._verdicts) >= MAX_VERDICTS:
                self._verdicts.clear()
            verdict = self._verdicts[topic] = not topic.startswith("$") and (
                self._core.policy.may(self.user, Action.PUBLISH, topic, client_id=self.client_id)
            )
        return verdict

    # --- subscriptions

    def _subscribe(self, packet: Subscribe) -> None:
        session = self._session
        assert session is not None
        identifiers = packet.properties.subscription_identifiers
        identifier = identifiers[0] if identifiers else None
        since = self._core.store.noted
        reasons: list[Reason] = []
        replayed: list[Grant] = []
        for request in packet.requests:
            reason, grant, is_new = self._grant(request, identifier, session)
            reasons.append(reason)
            if (
                grant is not None
                and grant.share is None
                and (request.retain_handling == 0 or (request.retain_handling == 1 and is_new))
            ):
                replayed.append(grant)
        self._settle(Suback(packet.packet_id, tuple(reasons)), since)
        if replayed:
            self._connection.work_off(self._replay(replayed, session))

    def _grant(
        self, request: SubscribeRequest, identifier: int | None, session: MqttSession
    ) -> tuple[Reason, Grant | None, bool]:
        share, topic_filter = split_share(request.filter)
        if share is not None and request.no_local:  # [MQTT5-3.8.3-4]
            raise PacketError(Reason.PROTOCOL_ERROR, "a shared subscription with No Local")
        failure = Reason.UNSPECIFIED_ERROR if self._version is not Version.V5 else None
        if not self._core.policy.grants(self.user, topic_filter, client_id=self.client_id):
            return failure or Reason.NOT_AUTHORIZED, None, False
        if self._core.subscription_count(session) >= MAX_SUBSCRIPTIONS:
            return failure or Reason.QUOTA_EXCEEDED, None, False
        grant = Grant(
            topic_filter,
            request.qos,
            no_local=request.no_local,
            retain_as_published=request.retain_as_published,
            identifier=identifier,
            share=share,
        )
        session.record.granted(grant)
        return Reason(request.qos), grant, self._core.subscribe(session, grant)

    def _replay(self, grants: list[Grant], session: MqttSession) -> Iterator[None]:
        """Send the retained messages of new subscriptions, each as it is when its turn comes."""
        for grant in grants:
            identifiers = () if grant.identifier is None else (grant.identifier,)
            for topic in self._core.retained.topics(grant.topic_filter):
                message = self._core.retained.get(topic, self._connection.now())
                if message is not None:
                    session.deliver_retained(message, grant.qos, identifiers)
                yield

    def _unsubscribe(self, packet: Unsubscribe) -> None:
        assert self._session is not None
        since = self._core.store.noted
        reasons = tuple(self._end_grant(topic_filter) for topic_filter in packet.filters)
        answer = reasons if self._version is Version.V5 else ()
        self._settle(Unsuback(packet.packet_id, answer), since)

    def _end_grant(self, requested: str) -> Reason:
        assert self._session is not None
        share, topic_filter = split_share(requested)
        if self._core.unsubscribe(self._session, topic_filter, share):
            self._session.record.revoked(topic_filter, share)
            return Reason.SUCCESS
        return Reason.NO_SUBSCRIPTION_EXISTED

    def judge_again(self, user: User) -> None:
        """The users or their rules have changed: nothing that was found before counts."""
        self.user = user
        self._verdicts.clear()

    # --- DISCONNECT

    def _disconnect(self, packet: Disconnect) -> None:
        assert self._session is not None
        expiry_s = packet.properties.session_expiry_interval_s
        if expiry_s is not None:
            if self._session.expiry_s == 0 and expiry_s:  # [MQTT5-3.14.2-2]
                raise PacketError(Reason.PROTOCOL_ERROR, "this session can't be made to last")
            self._session.expiry_s = None if expiry_s == NEVER else expiry_s
        if packet.reason is not Reason.DISCONNECT_WITH_WILL_MESSAGE:  # [MQTT-3.14.4-3]
            self.will = None
        self._connection.close()


NEVER = 0xFFFFFFFF
"""The Session Expiry Interval of a session that never expires [MQTT5-3.1.2.11.2]."""


def _expiry_s(connect: Connect) -> float | None:
    """How long the session outlives its connection; None: for ever."""
    if connect.version is not Version.V5:
        return 0.0 if connect.clean_start else None
    expiry_s = connect.properties.session_expiry_interval_s or 0
    return None if expiry_s == NEVER else float(expiry_s)
