"""Packets into bytes, for whichever version the other side speaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from broker.errors import PacketError
from broker.native import field
from broker.native.field import variable_integer
from broker.native.packet import (
    V5,
    Acknowledgement,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
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
)
from broker.native.properties import EMPTY, Holder, Properties, write_properties
from broker.native.publish import encode_publish
from broker.native.reason import Reason, return_code


def encode(packet: Packet, version: Version) -> bytes:
    """The packet's bytes; what `version` doesn't know of it is left out.

    Raises PacketError for what can't be written: a text or packet that is too long, a property
    that doesn't belong there, an AUTH before MQTT 5.
    """
    return _ENCODERS[type(packet)](packet, version)


def _whole(kind: PacketType, *parts: bytes, flags: int = 0) -> bytes:
    body = b"".join(parts)
    return b"".join((bytes([kind << 4 | flags]), variable_integer(len(body)), body))


def _properties(properties: Properties, version: Version, holder: Holder) -> bytes:
    return write_properties(properties, holder) if version is Version.V5 else b""


def _number(packet_id: int) -> bytes:
    return packet_id.to_bytes(2, "big")


def _connect(packet: Connect, version: Version) -> bytes:
    is_5 = version is Version.V5
    flags = bool(packet.clean_start) << 1
    parts = [field.text(packet.client_id)]
    if packet.will is not None:
        will = packet.will
        flags |= 0x04 | will.qos << 3 | will.retain << 5
        parts += (
            _properties(will.properties, version, Holder.WILL),
            field.text(will.topic),
            field.binary(will.payload),
        )
    if packet.username is not None:
        flags |= 0x80
        parts.append(field.text(packet.username))
    if packet.password is not None:
        if packet.username is None and not is_5:  # [MQTT-3.1.2-22]
            raise PacketError(
                Reason.PROTOCOL_ERROR, "CONNECT: a password needs a user name before MQTT 5"
            )
        flags |= 0x40
        parts.append(field.binary(packet.password))
    return _whole(
        PacketType.CONNECT,
        field.binary(b"MQIsdp" if version is Version.V31 else b"MQTT"),
        bytes([version, flags]),
        packet.keep_alive_s.to_bytes(2, "big"),
        _properties(packet.properties, version, Holder.CONNECT),
        *parts,
    )


def _connack(packet: Connack, version: Version) -> bytes:
    # MQTT 3.1 has a reserved byte where the later ones have the flag.
    is_present = packet.session_present and version is not Version.V31
    code = packet.reason if version is Version.V5 else return_code(packet.reason)
    held = _properties(packet.properties, version, Holder.CONNACK)
    return _whole(PacketType.CONNACK, bytes([is_present, code]), held)


def _publish(packet: Publish, version: Version) -> bytes:
    return encode_publish(
        packet.topic,
        packet.payload,
        packet.qos,
        packet.retain,
        packet.dup,
        packet.packet_id,
        version=version,
        properties=packet.properties,
    )


def _acknowledgement(
    kind: PacketType, holder: Holder, flags: int = 0
) -> Callable[[Acknowledgement, Version], bytes]:
    start = bytes([kind << 4 | flags, 2])

    def encode_one(packet: Acknowledgement, version: Version) -> bytes:
        number = packet.packet_id.to_bytes(2, "big")
        if version is not V5 or (not packet.reason and packet.properties == EMPTY):
            return start + number
        return _whole(kind, number, _code(packet, holder), flags=flags)

    return encode_one


def _code(packet: Acknowledgement | Disconnect, holder: Holder) -> bytes:
    """The reason, and the properties if there are any (3.4.2.2.1)."""
    held = packet.properties
    return bytes([packet.reason]) + (b"" if held == EMPTY else write_properties(held, holder))


def _request(request: SubscribeRequest, version: Version) -> bytes:
    options = int(request.qos)
    if version is Version.V5:
        options |= request.no_local << 2 | request.retain_as_published << 3
        options |= request.retain_handling << 4
    return field.text(request.filter) + bytes([options])


def _subscribe(packet: Subscribe, version: Version) -> bytes:
    return _whole(
        PacketType.SUBSCRIBE,
        _number(packet.packet_id),
        _properties(packet.properties, version, Holder.SUBSCRIBE),
        *(_request(request, version) for request in packet.requests),
        flags=2,
    )


def _suback(packet: Suback, version: Version) -> bytes:
    codes = packet.reasons
    if version is not Version.V5:  # [MQTT-3.9.3-2] knows one failure only; so we say it in 3.1
        codes = tuple(Reason.UNSPECIFIED_ERROR if code.is_failure else code for code in codes)
    held = _properties(packet.properties, version, Holder.SUBACK)
    return _whole(PacketType.SUBACK, _number(packet.packet_id), held, bytes(codes))


def _unsubscribe(packet: Unsubscribe, version: Version) -> bytes:
    return _whole(
        PacketType.UNSUBSCRIBE,
        _number(packet.packet_id),
        _properties(packet.properties, version, Holder.UNSUBSCRIBE),
        *map(field.text, packet.filters),
        flags=2,
    )


def _unsuback(packet: Unsuback, version: Version) -> bytes:
    codes = bytes(packet.reasons) if version is Version.V5 else b""
    held = _properties(packet.properties, version, Holder.UNSUBACK)
    return _whole(PacketType.UNSUBACK, _number(packet.packet_id), held, codes)


def _pingreq(_: Pingreq, __: Version) -> bytes:
    return b"\xc0\0"


def _pingresp(_: Pingresp, __: Version) -> bytes:
    return b"\xd0\0"


def _disconnect(packet: Disconnect, version: Version) -> bytes:
    if version is not Version.V5 or (not packet.reason and packet.properties == EMPTY):
        return b"\xe0\0"
    return _whole(PacketType.DISCONNECT, _code(packet, Holder.DISCONNECT))


def _auth(packet: Auth, version: Version) -> bytes:
    if version is not Version.V5:
        raise PacketError(Reason.PROTOCOL_ERROR, "AUTH: there is none before MQTT 5")
    if not packet.reason and packet.properties == EMPTY:
        return b"\xf0\0"
    held = write_properties(packet.properties, Holder.AUTH)
    return _whole(PacketType.AUTH, bytes([packet.reason]), held)


_ENCODERS: dict[type[Packet], Callable[[Any, Version], bytes]] = {
    Connect: _connect,
    Connack: _connack,
    Publish: _publish,
    Puback: _acknowledgement(PacketType.PUBACK, Holder.PUBACK),
    Pubrec: _acknowledgement(PacketType.PUBREC, Holder.PUBREC),
    Pubrel: _acknowledgement(PacketType.PUBREL, Holder.PUBREL, flags=2),  # [MQTT-3.6.1-1]
    Pubcomp: _acknowledgement(PacketType.PUBCOMP, Holder.PUBCOMP),
    Subscribe: _subscribe,
    Suback: _suback,
    Unsubscribe: _unsubscribe,
    Unsuback: _unsuback,
    Pingreq: _pingreq,
    Pingresp: _pingresp,
    Disconnect: _disconnect,
    Auth: _auth,
}
