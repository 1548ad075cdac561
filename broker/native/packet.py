"""The control packets of MQTT 3.1, 3.1.1 and 5, as values.

They are msgspec structs, not dataclasses: one is made for every message, in a tenth of the time.
`msgspec.structs.replace` makes a changed copy. What a version doesn't have (properties and most
reason codes, before MQTT 5) stands at its default.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import msgspec

from broker.link import QoS
from broker.native.properties import EMPTY, Properties
from broker.native.reason import Reason


class Version(enum.IntEnum):
    """The protocol level that a CONNECT names."""

    V31 = 3
    V311 = 4
    V5 = 5


V5 = Version.V5
AT_MOST_ONCE, AT_LEAST_ONCE, EXACTLY_ONCE = QoS
"""By names of their own: to find a member in its class takes Python 3.11 a tenth of a microsecond,
and there were dozens of them on the way of each message."""


class PacketType(enum.IntEnum):
    """The upper half of a packet's first byte (table 2-1)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class Will(msgspec.Struct, frozen=True, gc=False):
    """The message that the broker publishes when its client is lost."""

    topic: str
    payload: bytes
    qos: QoS = QoS.AT_MOST_ONCE
    retain: bool = False
    properties: Properties = EMPTY


class Connect(msgspec.Struct, frozen=True, gc=False):
    """A client's first packet; `clean_start` is called Clean Session before MQTT 5."""

    version: Version
    client_id: str
    clean_start: bool = True
    keep_alive_s: int = 0
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties = EMPTY

    def __repr__(self) -> str:
        """Without the password, so that it gets into no log."""
        return (
            f"Connect({self.version!r}, client_id={self.client_id!r}, username={self.username!r})"
        )


class Connack(msgspec.Struct, frozen=True, gc=False):
    """The answer to a CONNECT."""

    session_present: bool = False
    reason: Reason = Reason.SUCCESS
    properties: Properties = EMPTY


class Publish(msgspec.Struct, frozen=True, gc=False):
    """One message on its way.

    `packet_id` is 0 for QoS 0. `topic` is empty where only a topic alias stands for it. `raw` are
    the exact bytes of a decoded QoS 0 packet without a topic alias: they may be sent on as they
    are to whoever speaks the same version (3.1 and 3.1.1 are the same here) and may see the same
    retain flag.
    """

    topic: str
    payload: bytes
    qos: QoS = QoS.AT_MOST_ONCE
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: Properties = EMPTY
    raw: bytes | None = None


class Puback(msgspec.Struct, frozen=True, gc=False):
    """A QoS 1 message is taken over, or refused."""

    packet_id: int
    reason: Reason = Reason.SUCCESS
    properties: Properties = EMPTY


class Pubrec(msgspec.Struct, frozen=True, gc=False):
    """A QoS 2 message is received, or refused."""

    packet_id: int
    reason: Reason = Reason.SUCCESS
    properties: Properties = EMPTY


class Pubrel(msgspec.Struct, frozen=True, gc=False):
    """A QoS 2 message may be released."""

    packet_id: int
    reason: Reason = Reason.SUCCESS
    properties: Properties = EMPTY


class Pubcomp(msgspec.Struct, frozen=True, gc=False):
    """A QoS 2 message is done."""

    packet_id: int
    reason: Reason = Reason.SUCCESS
    properties: Properties = EMPTY


class SubscribeRequest(msgspec.Struct, frozen=True, gc=False):
    """One topic filter of a SUBSCRIBE; the last three are MQTT 5's."""

    filter: str
    qos: QoS = QoS.AT_MOST_ONCE
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0
    """0: send retained messages; 1: only if the subscription is new; 2: don't."""


class Subscribe(msgspec.Struct, frozen=True, gc=False):
    """Wishes for messages, at least one."""

    packet_id: int
    requests: tuple[SubscribeRequest, ...]
    properties: Properties = EMPTY


class Suback(msgspec.Struct, frozen=True, gc=False):
    """The answer to a SUBSCRIBE: the granted QoS or a failure for each filter, in order."""

    packet_id: int
    reasons: tuple[Reason, ...]
    properties: Properties = EMPTY


class Unsubscribe(msgspec.Struct, frozen=True, gc=False):
    """Filters that are no longer wished for, at least one."""

    packet_id: int
    filters: tuple[str, ...]
    properties: Properties = EMPTY


class Unsuback(msgspec.Struct, frozen=True, gc=False):
    """The answer to an UNSUBSCRIBE; `reasons` is empty before MQTT 5."""

    packet_id: int
    reasons: tuple[Reason, ...] = ()
    properties: Properties = EMPTY


class Pingreq(msgspec.Struct, frozen=True, gc=False):
    """A client is still there."""


class Pingresp(msgspec.Struct, frozen=True, gc=False):
    """And so is the broker."""


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """The last packet; before MQTT 5 only a client sends it."""

    reason: Reason = Reason.NORMAL_DISCONNECTION
    properties: Properties = EMPTY


class Auth(msgspec.Struct, frozen=True, gc=False):
    """A step of MQTT 5's extended authentication."""

    reason: Reason = Reason.SUCCESS
    properties: Properties = EMPTY


Acknowledgement: TypeAlias = Puback | Pubrec | Pubrel | Pubcomp

Packet: TypeAlias = (
    Connect
    | Connack
    | Publish
    | Puback
    | Pubrec
    | Pubrel
    | Pubcomp
    | Subscribe
    | Suback
    | Unsubscribe
    | Unsuback
    | Pingreq
    | Pingresp
    | Disconnect
    | Auth
)
