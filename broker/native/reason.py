"""Reason codes of MQTT 5 (table 2-6), which packet may carry which, and the return codes of 3.x."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class Reason(enum.IntEnum):
    """Why something was done or refused; from 0x80 on it is a failure."""

    SUCCESS = 0x00
    NORMAL_DISCONNECTION = 0x00
    GRANTED_QOS_0 = 0x00
    GRANTED_QOS_1 = 0x01
    GRANTED_QOS_2 = 0x02
    DISCONNECT_WITH_WILL_MESSAGE = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    CONTINUE_AUTHENTICATION = 0x18
    RE_AUTHENTICATE = 0x19
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_IN_USE = 0x91
    PACKET_IDENTIFIER_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    USE_ANOTHER_SERVER = 0x9C
    SERVER_MOVED = 0x9D
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2

    @property
    def is_failure(self) -> bool:
        return self >= 0x80


def _reasons(*codes: int) -> Mapping[int, Reason]:
    """By their number, so that one look-up both checks and converts."""
    return MappingProxyType({code: Reason(code) for code in codes})


_BOTH_DISCONNECT = (0x00, 0x80, 0x81, 0x82, 0x83, 0x90, *range(0x93, 0x9A))

CONNACK = _reasons(0x00, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F)
PUBACK = _reasons(0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
PUBREC = PUBACK
PUBREL = _reasons(0x00, 0x92)
PUBCOMP = PUBREL
SUBACK = _reasons(0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2)
UNSUBACK = _reasons(0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91)
CLIENT_DISCONNECT = _reasons(*_BOTH_DISCONNECT, 0x04)
SERVER_DISCONNECT = _reasons(
    *_BOTH_DISCONNECT, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, *range(0x9A, 0xA3)
)
CLIENT_AUTH = _reasons(0x18, 0x19)
SERVER_AUTH = _reasons(0x00, 0x18)

CONNACK_3: Mapping[int, Reason] = MappingProxyType(
    {
        0: Reason.SUCCESS,
        1: Reason.UNSUPPORTED_PROTOCOL_VERSION,
        2: Reason.CLIENT_IDENTIFIER_NOT_VALID,
        3: Reason.SERVER_UNAVAILABLE,
        4: Reason.BAD_USER_NAME_OR_PASSWORD,
        5: Reason.NOT_AUTHORIZED,
    }
)
"""The return codes of MQTT 3.x (its table 3.1)."""

_RETURN_CODES = {
    **{reason: code for code, reason in CONNACK_3.items()},
    Reason.BANNED: 5,
    Reason.BAD_AUTHENTICATION_METHOD: 5,
}


def return_code(reason: Reason) -> int:
    """What a CONNACK of MQTT 3.x says instead; for any other failure that is 3, unavailable."""
    return _RETURN_CODES.get(reason, 3)


SUBACK_3 = _reasons(0x00, 0x01, 0x02, 0x80)
"""What a SUBACK of MQTT 3.1.1 may say [MQTT-3.9.3-2]."""
