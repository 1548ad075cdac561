"""The properties of MQTT 5 (2.2.2): what they are, which packet may hold them, read and written."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from broker.errors import PacketError
from broker.link import QoS
from broker.native import field
from broker.native.field import FieldReader
from broker.native.reason import Reason


class Holder(enum.Flag):
    """What can hold properties."""

    CONNECT = enum.auto()
    WILL = enum.auto()
    CONNACK = enum.auto()
    PUBLISH = enum.auto()
    PUBACK = enum.auto()
    PUBREC = enum.auto()
    PUBREL = enum.auto()
    PUBCOMP = enum.auto()
    SUBSCRIBE = enum.auto()
    SUBACK = enum.auto()
    UNSUBSCRIBE = enum.auto()
    UNSUBACK = enum.auto()
    DISCONNECT = enum.auto()
    AUTH = enum.auto()


class Properties(msgspec.Struct, frozen=True, gc=False, kw_only=True, repr_omit_defaults=True):
    """All properties there are, in the order of table 2-4; None or () means absent."""

    payload_format_indicator: bool | None = None
    """True: the payload is UTF-8."""
    message_expiry_interval_s: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_identifiers: tuple[int, ...] = ()
    session_expiry_interval_s: int | None = None
    """0xFFFFFFFF: never."""
    assigned_client_identifier: str | None = None
    server_keep_alive_s: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: bool | None = None
    will_delay_interval_s: int | None = None
    request_response_information: bool | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: QoS | None = None
    retain_available: bool | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    maximum_packet_size: int | None = None
    """In bytes."""
    wildcard_subscription_available: bool | None = None
    subscription_identifier_available: bool | None = None
    shared_subscription_available: bool | None = None


EMPTY = Properties()


@dataclass(frozen=True, slots=True)
class _Kind:
    """One row of table 2-4."""

    name: str
    holders: Holder
    read: Callable[[FieldReader, str], Any]
    write: Callable[[Any], bytes]
    tag: bytes
    comes_in_tuple: bool


def _above_zero(read: Callable[[FieldReader, str], int]) -> Callable[[FieldReader, str], int]:
    def read_above_zero(reader: FieldReader, what: str) -> int:
        value = read(reader, what)
        if not value:
            raise reader.protocol_error(f"the property {what} is 0")
        return value

    return read_above_zero


def _read_topic_alias(reader: FieldReader, what: str) -> int:
    value = reader.two_bytes(what)
    if not value:  # [MQTT-3.3.2-8]
        raise PacketError(Reason.TOPIC_ALIAS_INVALID, f"{reader.packet}: the topic alias is 0")
    return value


def _read_qos(reader: FieldReader, what: str) -> QoS:
    return QoS(reader.flag(what))  # a maximum of 2 is said by leaving it out (3.2.2.3.4)


def _read_pair(reader: FieldReader, what: str) -> tuple[str, str]:
    return reader.text(what), reader.text(what)  # [MQTT-1.5.7-1]


def _write_pair(pair: tuple[str, str]) -> bytes:
    return field.text(pair[0]) + field.text(pair[1])


def _integer(size: int) -> Callable[[int], bytes]:
    return lambda value: value.to_bytes(size, "big")


_FLAG = FieldReader.flag, _integer(1)
_TWO_BYTES = FieldReader.two_bytes, _integer(2)
_FOUR_BYTES = FieldReader.four_bytes, _integer(4)
_TEXT = FieldReader.text, field.text
_BINARY = FieldReader.binary, field.binary

_H = Holder
_MESSAGE = _H.PUBLISH | _H.WILL
_ACKS = _H.PUBACK | _H.PUBREC | _H.PUBREL | _H.PUBCOMP | _H.SUBACK | _H.UNSUBACK
_OPENING = _H.CONNECT | _H.CONNACK
_ALL = ~_H(0)

_TABLE: tuple[tuple[int, Holder, tuple[Callable[..., Any], Callable[..., bytes]]], ...] = (
    (0x01, _MESSAGE, _FLAG),
    (0x02, _MESSAGE, _FOUR_BYTES),
    (0x03, _MESSAGE, _TEXT),
    (0x08, _MESSAGE, _TEXT),
    (0x09, _MESSAGE, _BINARY),
    (
        0x0B,
        _H.PUBLISH | _H.SUBSCRIBE,
        (_above_zero(FieldReader.variable_integer), field.variable_integer),
    ),
    (0x11, _OPENING | _H.DISCONNECT, _FOUR_BYTES),
    (0x12, _H.CONNACK, _TEXT),
    (0x13, _H.CONNACK, _TWO_BYTES),
    (0x15, _OPENING | _H.AUTH, _TEXT),
    (0x16, _OPENING | _H.AUTH, _BINARY),
    (0x17, _H.CONNECT, _FLAG),
    (0x18, _H.WILL, _FOUR_BYTES),
    (0x19, _H.CONNECT, _FLAG),
    (0x1A, _H.CONNACK, _TEXT),
    (0x1C, _H.CONNACK | _H.DISCONNECT, _TEXT),
    (0x1F, _H.CONNACK | _ACKS | _H.DISCONNECT | _H.AUTH, _TEXT),
    (0x21, _OPENING, (_above_zero(FieldReader.two_bytes), _integer(2))),
    (0x22, _OPENING, _TWO_BYTES),
    (0x23, _H.PUBLISH, (_read_topic_alias, _integer(2))),
    (0x24, _H.CONNACK, (_read_qos, _integer(1))),
    (0x25, _H.CONNACK, _FLAG),
    (0x26, _ALL, (_read_pair, _write_pair)),
    (0x27, _OPENING, (_above_zero(FieldReader.four_bytes), _integer(4))),
    (0x28, _H.CONNACK, _FLAG),
    (0x29, _H.CONNACK, _FLAG),
    (0x2A, _H.CONNACK, _FLAG),
)

_TUPLES = ("subscription_identifiers", "user_properties")

_USER_PROPERTY, _SUBSCRIPTION_IDENTIFIER = 0x26, 0x0B

_KINDS = {
    number: _Kind(name, holders, read_one, write_one, bytes([number]), name in _TUPLES)
    for (number, holders, (read_one, write_one)), name in zip(
        _TABLE, Properties.__struct_fields__, strict=True
    )
}


def read_properties(reader: FieldReader, holder: Holder) -> Properties:
    """The properties that come next, if there is nothing wrong with them, else PacketError."""
    size = reader.variable_integer("property length")
    if not size:
        return EMPTY
    part = reader.part(size, "properties")
    values: dict[str, Any] = {}
    pairs: list[tuple[str, str]] = []
    identifiers: list[int] = []
    while not part.is_empty:
        number = part.variable_integer("property identifier")
        kind = _KINDS.get(number)
        if kind is None:  # 2.2.2.2
            raise part.malformed(f"there is no property 0x{number:02X}")
        if holder not in kind.holders:
            raise part.malformed(f"the property {kind.name} doesn't belong in {holder.name}")
        value = kind.read(part, kind.name)
        if number == _USER_PROPERTY:
            pairs.append(value)
        elif number == _SUBSCRIPTION_IDENTIFIER:
            identifiers.append(value)
        elif kind.name in values:
            raise part.protocol_error(f"the property {kind.name} comes twice")
        else:
            values[kind.name] = value
    if len(identifiers) > 1 and holder is Holder.SUBSCRIBE:  # 3.8.2.1.2
        raise part.protocol_error("there is more than one subscription identifier")
    if "authentication_data" in values and "authentication_method" not in values:
        raise part.protocol_error("there is authentication data, but no authentication method")
    return Properties(
        **values, user_properties=tuple(pairs), subscription_identifiers=tuple(identifiers)
    )


def write_properties(properties: Properties, holder: Holder) -> bytes:
    """With their length before them; PacketError where one doesn't belong in this packet."""
    if properties is EMPTY:
        return b"\0"  # [MQTT-2.2.2-1]
    encoded = write_each(properties, holder)
    return field.variable_integer(len(encoded)) + encoded


def write_each(properties: Properties, holder: Holder) -> bytes:
    """Without their length."""
    parts: list[bytes] = []
    for kind, value in zip(_KINDS.values(), msgspec.structs.astuple(properties), strict=True):
        if value is None or value == ():
            continue
        if holder not in kind.holders:
            raise PacketError(
                Reason.PROTOCOL_ERROR, f"the property {kind.name} doesn't belong in {holder.name}"
            )
        for one in value if kind.comes_in_tuple else (value,):
            parts += (kind.tag, kind.write(one))
    return b"".join(parts)
