"""A client: what each of its packets does, from CONNECT on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from broker.access import Action, User
from broker.errors import PacketError
from broker.link import QoS
from broker.native.aliases import MAX_ALIASES, TopicAliases
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
"""QoS 2 messages that an MQTT 5 client may have open with us at once; before 5 it can't be told."""

MAX_VERDICTS = 1000
"""Topics for which a client's right to publish is remembered; beyond it they are judged anew."""

MAX_REPLAYS = 20_000
"""Subscriptions whose retained messages a client waits for; beyond it no further one is granted."""

MAX_UNSETTLED = 1000
"""Answers that wait for the disk, for one client; beyond it nothing more is read from it."""

WINDOW_3 = 20
WINDOW_5 = 100
"""Unacknowledged messages to a client: what devices before MQTT 5 put up with, and at most."""


class Client:
    """The rules of one connection. Its MQTT session may be older, and outlive it."""

    __slots__ = (
        "_aliases",
        "_connection",
        "_core",
        "_is_held",
        "_joining",
        "_replays",
        "_session",
        "_unsettled",
        "_verdicts",
        "_version",
        "client_id",
        "user",
        "will",
    )

    def __init__(self, core: Core, connection: Connection) -> None:
        self._core = core
        self._connection = connection
        self._aliases: dict[int, str] = {}
        self._verdicts: dict[str, bool] = {}
        self._joining: asyncio.Task[None] | None = None
        self._version = Version.V311
        self._unsettled = 0
        self._is_held = False
        self._replays: deque[Grant] = deque()
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
        handler = self._HANDLERS.get(type(packet))
        if handler is None:  # a second CONNECT [MQTT-3.1.0-2], AUTH that nobody asked for
            raise PacketError(Reason.PROTOCOL_ERROR, f"no {type(packet).__name__} may come now")
        handler(self, packet)

    def fail(self, error: PacketError) -> None:
        """Say goodbye to a client that broke the rules."""
        if self._session is not None:
            self.end(error.reason, str(error))
            return
        version = self._connection.named_version
        if version is Version.V5:  # [MQTT5-3.1.4-1] allows us to say why
            self._version = self._connection.version = version
            self._refuse(error.reason, str(error))
        elif error.reason in _SAID_BEFORE_5:
            self._refuse(error.reason, "")
        else:  # [MQTT-3.1.4-1]: without a CONNACK
            self._connection.close()

    def end(self, reason: Reason, message: str = "") -> None:
        """End the connection, and tell an MQTT 5 client why [MQTT5-4.13.1]."""
        if self._version is Version.V5 and self._session is not None:
            properties = Properties(reason_string=message) if message else EMPTY
            # The reason string goes where the packet would be too large [MQTT5-3.14.2-3].
            if not self._connection.send_packet(Disconnect(reason, properties)) and message:
                self._connection.send_packet(Disconnect(reason))
        self._close()

    def _close(self) -> None:
        """Nothing goes either way any more, so the session is left at once."""
        self._connection.close()
        self._leave()

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._core.left(self, session)

    def lost(self) -> None:
        """The connection is gone: the session may stay, the will may be due."""
        if self._joining is not None:
            self._joining.cancel()
        self._leave()

    def has_room(self) -> None:
        if self._session is not None:
            self._session.pump()

    # --- CONNECT

    def _connect(self, connect: Connect) -> None:
        self._version = self._connection.version = connect.version
        if connect.properties.authentication_method is not None:  # [MQTT5-4.12.0-1]
            self._refuse(Reason.BAD_AUTHENTICATION_METHOD, "no authentication method is known")
            return
        self._connection.complete()
        answer = self._core.admitted(connect.username, must_log_in=self._connection.must_log_in)
        if answer is not None:
            self._join(connect, *answer)
            return
        # Whether a password is right takes a while to find out, and nothing changes until then.
        self._connection.hold()
        self._joining = asyncio.get_running_loop().create_task(self._join_checked(connect))

    async def _join_checked(self, connect: Connect) -> None:
        user, reason = await self._core.authenticate(
            connect.username or "", connect.password or b"", self._connection.peer_host
        )
        self._joining = None
        if self._connection.is_open:
            self._join(connect, user, reason)
            self._connection.release()

    def _join(self, connect: Connect, user: User | None, reason: Reason) -> None:
        if user is None:
            self._refuse(reason, "")
            return
        client_id = connect.client_id or self._core.new_client_id()
        self.user, self.client_id = user, client_id
        will = connect.will
        if will is not None and will.topic.startswith("$"):
            will = None  # a Mosquitto bridge's: taken and dropped, as a PUBLISH there is before 5
        if will is not None and not self._may_publish(will.topic):
            self._refuse(Reason.NOT_AUTHORIZED, "the will may not be published")
            return
        if not self._core.may_take(client_id, user):
            self._refuse(Reason.CLIENT_IDENTIFIER_NOT_VALID, "another user has a client of this id")
            return
        connection, properties = self._connection, connect.properties
        connection.max_frame_bytes = properties.maximum_packet_size
        connection.window = WINDOW_3
        if self._version is Version.V5:
            connection.window = min(properties.receive_maximum or 65_535, WINDOW_5)
            if properties.topic_alias_maximum:
                connection.aliases = TopicAliases(properties.topic_alias_maximum)
        session, is_present = self._core.join(
            self, clean_start=connect.clean_start, expiry_s=_expiry_s(connect)
        )
        self._session = session
        self.will = will
        keep_alive_s = connect.keep_alive_s
        at_most_s = self._core.max_keep_alive_s
        if self._version is Version.V5 and at_most_s:
            keep_alive_s = min(keep_alive_s or at_most_s, at_most_s)
        welcome = self._welcome(
            client_id if not connect.client_id else None,
            keep_alive_s if keep_alive_s != connect.keep_alive_s else None,
        )
        connection.connected(keep_alive_s)
        if not connection.send_packet(Connack(is_present, Reason.SUCCESS, welcome)):
            self._close()  # it takes no packet so large [MQTT5-3.1.2-24]
            return
        session.wire = connection
        session.resume()

    def _welcome(self, assigned: str | None, keep_alive_s: int | None) -> Properties:
        if self._version is not Version.V5:
            return EMPTY
        return Properties(
            assigned_client_identifier=assigned,
            server_keep_alive_s=keep_alive_s,  # [MQTT5-3.1.2-21]
            receive_maximum=RECEIVE_MAXIMUM,
            topic_alias_maximum=MAX_ALIASES,
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
            if (
                self._version is Version.V5 and len(session.received_ids) >= RECEIVE_MAXIMUM
            ):  # [MQTT5-3.3.4-9]
                raise PacketError(Reason.RECEIVE_MAXIMUM_EXCEEDED, "too many open QoS 2 messages")
            if not session.begin(packet.packet_id):
                raise PacketError(Reason.QUOTA_EXCEEDED, "the broker can keep no more")
        since = self._core.store.noted
        reason = Reason.NOT_AUTHORIZED
        if self._may_publish(topic):
            message = Routed.of(packet, topic, self._version, self._connection.now())
            reason = self._core.publish(message, session)
        if qos is QoS.AT_LEAST_ONCE:
            self._settle(Puback(packet.packet_id, self._answer(reason)), since)
        elif qos is QoS.EXACTLY_ONCE:
            if reason.is_failure and self._version is Version.V5:  # before it, PUBREL comes
                session.end(packet.packet_id)
            else:
                session.record.received(packet.packet_id)
            self._settle(Pubrec(packet.packet_id, self._answer(reason)), since)

    def _settle(self, packet: Packet, since: int) -> None:
        """Answer when what was noted since then is durable, and after the answers before it."""
        store = self._core.store
        if store.noted == since and not self._unsettled:
            self._connection.send_packet(packet)
            return
        self._unsettled += 1
        if not self._is_held and (self._unsettled >= MAX_UNSETTLED or store.is_behind):
            self._is_held = True
            self._connection.hold()
        store.after(partial(self._settled, packet), self._connection)

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

    def _puback(self, packet: Puback) -> None:
        assert self._session is not None
        self._session.acknowledged(packet.packet_id)
        self._go_on_replaying()

    def _pubcomp(self, packet: Pubcomp) -> None:
        assert self._session is not None
        self._session.completed(packet.packet_id)
        self._go_on_replaying()

    def _pingreq(self, _packet: Pingreq) -> None:
        self._connection.send_packet(Pingresp())

    def _pubrec(self, packet: Pubrec) -> None:
        assert self._session is not None
        failed = packet.reason.is_failure
        since = self._core.store.noted
        is_known = self._session.received(packet.packet_id, failed=failed)
        if failed:
            self._go_on_replaying()
            return
        reason = Reason.SUCCESS if is_known else Reason.PACKET_IDENTIFIER_NOT_FOUND
        # Released before we know that it has it, it would come twice after a power cut.
        self._settle(Pubrel(packet.packet_id, self._answer(reason)), since)

    def _pubrel(self, packet: Pubrel) -> None:
        assert self._session is not None
        since = self._core.store.noted
        reason = Reason.PACKET_IDENTIFIER_NOT_FOUND
        if self._session.end(packet.packet_id):
            reason = Reason.SUCCESS
            self._session.record.released(packet.packet_id)
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
        for request in packet.requests:
            reason, grant, is_new = self._grant(request, identifier, session)
            reasons.append(reason)
            if (
                grant is not None
                and grant.share is None
                and (request.retain_handling == 0 or (request.retain_handling == 1 and is_new))
            ):
                self._replays.append(grant)
        self._settle(Suback(packet.packet_id, tuple(reasons)), since)
        if self._replays and not self._connection.is_stepping:
            self._connection.work_off(self._replay(session))

    def _grant(
        self, request: SubscribeRequest, identifier: int | None, session: MqttSession
    ) -> tuple[Reason, Grant | None, bool]:
        share, topic_filter = split_share(request.filter)
        if not self._core.policy.grants(self.user, topic_filter, client_id=self.client_id):
            return Reason.NOT_AUTHORIZED, None, False
        grant = Grant(
            topic_filter,
            request.qos,
            no_local=request.no_local,
            retain_as_published=request.retain_as_published,
            identifier=identifier,
            share=share,
        )
        if len(self._replays) >= MAX_REPLAYS or not self._core.has_room(session, grant):
            return Reason.QUOTA_EXCEEDED, None, False
        is_new = self._core.subscribe(session, grant)
        session.record.granted(grant, is_new=is_new)
        return Reason(request.qos), grant, is_new

    def _replay(self, session: MqttSession) -> Iterator[bool]:
        """Send the retained messages of new subscriptions, each as it is when its turn comes.

        Where many of them wait for the client's acknowledgements, the others wait for that.
        """
        retained = self._core.retained
        while self._replays:
            grant = self._replays.popleft()
            identifiers = () if grant.identifier is None else (grant.identifier,)
            for topic in retained.walk(grant.topic_filter):
                while session.is_half_full:
                    yield False
                if topic is None:
                    yield True
                    continue
                if not self._core.holds(session, grant):  # it has ended meanwhile
                    break
                message = retained.get(topic, self._connection.now())
                if message is not None:
                    session.deliver_retained(message, grant.qos, identifiers)
                    message.forget_encodings()
                yield True

    def _go_on_replaying(self) -> None:
        if self._connection.is_stepping and self._session is not None:
            self._connection.go_on()

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
        if packet.reason is Reason.NORMAL_DISCONNECTION:  # [MQTT-3.14.4-3]
            self.will = None
        self._close()

    _HANDLERS: ClassVar[Mapping[type, Callable[[Client, Any], None]]] = {
        Publish: _publish,
        Puback: _puback,
        Pubrec: _pubrec,
        Pubrel: _pubrel,
        Pubcomp: _pubcomp,
        Subscribe: _subscribe,
        Unsubscribe: _unsubscribe,
        Pingreq: _pingreq,
        Disconnect: _disconnect,
    }


_SAID_BEFORE_5 = (Reason.UNSUPPORTED_PROTOCOL_VERSION, Reason.CLIENT_IDENTIFIER_NOT_VALID)
"""What a CONNACK before MQTT 5 can say of a packet that is not right."""


NEVER = 0xFFFFFFFF
"""The Session Expiry Interval of a session that never expires [MQTT5-3.1.2.11.2]."""


def _expiry_s(connect: Connect) -> float | None:
    """How long the session outlives its connection; None: for ever."""
    if connect.version is not Version.V5:
        return 0.0 if connect.clean_start else None
    expiry_s = connect.properties.session_expiry_interval_s or 0
    return None if expiry_s == NEVER else float(expiry_s)
