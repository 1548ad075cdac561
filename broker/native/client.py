"""A client: how it comes in, and how it leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from broker.access import Action, User
from broker.errors import PacketError
from broker.native.aliases import MAX_ALIASES, TopicAliases
from broker.native.connection import Connection
from broker.native.conversation import Conversation
from broker.native.message_run import MessageRun
from broker.native.mqtt_session import MqttSession
from broker.native.packet import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Version,
)
from broker.native.properties import EMPTY, Properties
from broker.native.publishing import RECEIVE_MAXIMUM
from broker.native.reason import Reason

if TYPE_CHECKING:
    from broker.native.core import Core

WINDOW_3 = 20
WINDOW_5 = 100
"""Unacknowledged messages to a client: what devices before MQTT 5 put up with, and at most."""


class Client:
    """The rules of one connection. Its MQTT session may be older, and outlive it."""

    __slots__ = (
        "_connection",
        "_conversation",
        "_core",
        "_joining",
        "_version",
        "client_id",
        "user",
    )

    def __init__(self, core: Core, connection: Connection) -> None:
        self._core = core
        self._connection = connection
        self._joining: asyncio.Task[None] | None = None
        self._version = Version.V311
        self._conversation: Conversation | None = None
        self.user = User(None)
        self.client_id = ""

    # --- from the connection

    def handle(self, packet: Packet) -> None:
        """Do what a packet asks for; raises PacketError where it may not be sent."""
        if self._conversation is None:
            if not isinstance(packet, Connect):  # [MQTT-3.1.0-1]
                raise PacketError(Reason.PROTOCOL_ERROR, "the first packet must be CONNECT")
            self._connect(packet)
        elif isinstance(packet, Disconnect):
            self._disconnect(packet, self._conversation.session)
        else:
            self._conversation.handle(packet)

    def forward(self, run: MessageRun) -> None:
        """Pass messages on as they came."""
        assert self._conversation is not None
        self._conversation.forward(run)

    def fail(self, error: PacketError) -> None:
        """Say goodbye to a client that broke the rules, and count why."""
        ended = self._core.counters.ended
        ended[error.reason] = ended.get(error.reason, 0) + 1
        if self._conversation is not None:
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
        if self._version is Version.V5 and self._conversation is not None:
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
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.forget_verdicts()
            self._core.left(self, conversation.session)

    def lost(self) -> None:
        """The connection is gone: the session may stay, the will may be due."""
        if self._joining is not None:
            self._joining.cancel()
        self._leave()

    def has_room(self) -> None:
        if self._conversation is not None:
            self._conversation.session.pump()

    # --- CONNECT

    def _connect(self, connect: Connect) -> None:
        self._version = self._connection.version = connect.version
        if connect.properties.authentication_method is not None:  # [MQTT5-4.12.0-1]
            self._refuse(Reason.BAD_AUTHENTICATION_METHOD, "no authentication method is known")
            return
        self._connection.complete()
        answer = self._core.rights.admitted(
            connect.username,
            must_log_in=self._connection.must_log_in,
            known_as=self._connection.known_as,
        )
        if answer is not None:
            self._join(connect, *answer)
            return
        # Whether a password is right takes a while to find out, and nothing changes until then.
        self._connection.hold()
        self._joining = asyncio.get_running_loop().create_task(self._join_checked(connect))

    async def _join_checked(self, connect: Connect) -> None:
        user, reason = await self._core.rights.authenticate(
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
        if will is not None and not self._core.policy.may(
            user, Action.PUBLISH, will.topic, client_id=client_id
        ):
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
        if will is not None and not self._core.wills.has_room(will):
            self._refuse(Reason.QUOTA_EXCEEDED, "the broker can keep no more wills")
            return
        session, is_present = self._core.join(
            self, clean_start=connect.clean_start, expiry_s=_expiry_s(connect), will=will
        )
        self._conversation = Conversation(self._core, connection, session)
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

    def judge_again(self, user: User) -> None:
        """The users or their rules have changed: nothing that was found before counts."""
        self.user = user
        if self._conversation is not None:
            self._conversation.forget_verdicts()

    # --- DISCONNECT

    def _disconnect(self, packet: Disconnect, session: MqttSession) -> None:
        expiry_s = packet.properties.session_expiry_interval_s
        if expiry_s is not None:
            if session.expiry_s == 0 and expiry_s:  # [MQTT5-3.14.2-2]
                raise PacketError(Reason.PROTOCOL_ERROR, "this session can't be made to last")
            session.expiry_s = None if expiry_s == NEVER else expiry_s
        if packet.reason is Reason.NORMAL_DISCONNECTION:  # [MQTT-3.14.4-3]
            self._core.wills.drop(self.client_id)
        self._close()


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
