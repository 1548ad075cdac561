"""All packets but CONNECT and PUBLISH, read from what follows their fixed header."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from broker.errors import PacketError, TopicError
from broker.link import QoS
from broker.native import reason
from broker.native.field import FieldReader
from broker.native.packet import (
    Acknowledgement,
    Auth,
    Connack,
    Disconnect,
    Packet,
    PacketType,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscribeRequest,
    Unsuback,
    Unsubscribe,
    Version,
)
from broker.native.properties import EMPTY, Holder, Properties, read_properties
from broker.native.reason import Reason
from broker.native.share import split_share
from broker.topics import check_filter

Decoder = Callable[[FieldReader, Version], Packet]

_PINGREQ, _PINGRESP = Pingreq(), Pingresp()


MAX_FILTERS = 20_000
"""Topic filters in one packet: as many as a client may hold, and 40 ms of reading them."""


def check_subscription(reader: FieldReader, topic_filter: str) -> bool:
    """Raise PacketError for a filter that is none; else say whether it is a shared one."""
    try:
        check_filter(topic_filter)  # [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1]
    except TopicError as error:
        raise PacketError(Reason.TOPIC_FILTER_INVALID, f"{reader.packet}: {error}") from None
    share, _ = split_share(topic_filter)  # [MQTT-4.8.2-1], [MQTT-4.8.2-2]
    return share is not None


def _subscribe(reader: FieldReader, version: Version) -> Subscribe:
    packet_id, held = reader.packet_id(), _properties(reader, version, Holder.SUBSCRIBE)
    if reader.is_empty:  # [MQTT-3.8.3-2]
        raise reader.protocol_error("there is no topic filter")
    requests: list[SubscribeRequest] = []
    while not reader.is_empty:
        _check_count(reader, len(requests))
        requests.append(_request(reader, version))
    return Subscribe(packet_id, tuple(requests), held)


def _check_count(reader: FieldReader, count: int) -> None:
    if count >= MAX_FILTERS:
        raise PacketError(
            Reason.QUOTA_EXCEEDED, f"{reader.packet}: {MAX_FILTERS} topic filters at most"
        )


def _request(reader: FieldReader, version: Version) -> SubscribeRequest:
    topic_filter = reader.text("topic filter")  # [MQTT-3.8.3-1]
    is_shared = check_subscription(reader, topic_filter)
    options = reader.byte("subscription options")
    if version is Version.V31:
        options &= 0x03  # its upper bits are not used
    elif options & (0xC0 if version is Version.V5 else 0xFC):  # [MQTT-3.8.3-5]
        raise reader.malformed("reserved bits of the subscription options are set")
    qos, retain_handling, no_local = options & 0x03, options >> 4 & 0x03, bool(options & 0x04)
    if qos == 3:  # 3.8.3.1
        raise reader.protocol_error("the QoS is 3")
    if retain_handling == 3:  # 3.8.3.1
        raise reader.protocol_error("the retain handling is 3")
    if no_local and is_shared:  # [MQTT-3.8.3-4]
        raise reader.protocol_error("No Local is set on a shared subscription")
    return SubscribeRequest(topic_filter, QoS(qos), no_local, bool(options & 0x08), retain_handling)


def _unsubscribe(reader: FieldReader, version: Version) -> Unsubscribe:
    packet_id, held = reader.packet_id(), _properties(reader, version, Holder.UNSUBSCRIBE)
    if reader.is_empty:  # [MQTT-3.10.3-2]
        raise reader.protocol_error("there is no topic filter")
    filters: list[str] = []
    while not reader.is_empty:
        _check_count(reader, len(filters))
        filters.append(reader.text("topic filter"))  # [MQTT-3.10.3-1]
        check_subscription(reader, filters[-1])
    return Unsubscribe(packet_id, tuple(filters), held)


def _acknowledgement(
    make: Callable[[int, Reason, Properties], Acknowledgement],
    allowed: Mapping[int, Reason],
    holder: Holder,
) -> Decoder:
    def decode(reader: FieldReader, version: Version) -> Acknowledgement:
        packet_id, code, held = reader.packet_id(), Reason.SUCCESS, EMPTY
        if version is Version.V5 and not reader.is_empty:
            code = _reason(reader, allowed)
            if not reader.is_empty:
                held = read_properties(reader, holder)
        reader.finish()
        return make(packet_id, code, held)

    return decode


def _suback(reader: FieldReader, version: Version) -> Suback:
    packet_id, held = reader.packet_id(), _properties(reader, version, Holder.SUBACK)
    return Suback(
        packet_id,
        _reasons(reader, reason.SUBACK if version is Version.V5 else reason.SUBACK_3),
        held,
    )


def _unsuback(reader: FieldReader, version: Version) -> Unsuback:
    packet_id, held = reader.packet_id(), _properties(reader, version, Holder.UNSUBACK)
    if version is Version.V5:
        return Unsuback(packet_id, _reasons(reader, reason.UNSUBACK), held)
    reader.finish()
    return Unsuback(packet_id)


def _connack(reader: FieldReader, version: Version) -> Connack:
    flags = reader.byte("acknowledge flags")
    if version is Version.V31:
        flags = 0  # a reserved byte there
    if flags > 1:  # [MQTT-3.2.2-1]
        raise reader.malformed("reserved acknowledge flags are set")
    code = _reason(reader, reason.CONNACK if version is Version.V5 else reason.CONNACK_3)
    held = _properties(reader, version, Holder.CONNACK)
    reader.finish()
    if flags and code:  # [MQTT-3.2.2-6]; in 3.1.1 [MQTT-3.2.2-4]
        raise reader.protocol_error("a session is said to be present, but the answer is no")
    return Connack(bool(flags), code, held)


def _disconnect(allowed: Mapping[int, Reason]) -> Decoder:
    def decode(reader: FieldReader, version: Version) -> Disconnect:
        code, held = Reason.NORMAL_DISCONNECTION, EMPTY
        if version is Version.V5 and not reader.is_empty:
            code = _reason(reader, allowed)
            if not reader.is_empty:
                held = read_properties(reader, Holder.DISCONNECT)
        reader.finish()
        if held.session_expiry_interval_s is not None and allowed is reason.SERVER_DISCONNECT:
            raise reader.protocol_error("a server can't set the session expiry")  # [MQTT-3.14.2-2]
        return Disconnect(code, held)

    return decode


def _auth(allowed: Mapping[int, Reason]) -> Decoder:
    def decode(reader: FieldReader, _: Version) -> Auth:
        if reader.is_empty:  # 3.15.2.1: success, and nothing more to say
            return Auth()
        code, held = _reason(reader, allowed), read_properties(reader, Holder.AUTH)
        reader.finish()
        return Auth(code, held)

    return decode


def _pingreq(reader: FieldReader, _: Version) -> Pingreq:
    reader.finish()
    return _PINGREQ


def _pingresp(reader: FieldReader, _: Version) -> Pingresp:
    reader.finish()
    return _PINGRESP


def _properties(reader: FieldReader, version: Version, holder: Holder) -> Properties:
    return read_properties(reader, holder) if version is Version.V5 else EMPTY


def _reason(reader: FieldReader, allowed: Mapping[int, Reason]) -> Reason:
    code = reader.byte("reason code")
    known = allowed.get(code)
    if known is None:
        raise reader.protocol_error(f"the reason code 0x{code:02X} doesn't belong here")
    return known


def _reasons(reader: FieldReader, allowed: Mapping[int, Reason]) -> tuple[Reason, ...]:
    codes: list[Reason] = []
    while not reader.is_empty:
        codes.append(_reason(reader, allowed))
    if not codes:
        raise reader.protocol_error("there is no reason code")
    return tuple(codes)


_BY_EITHER: Mapping[int, Decoder] = {
    PacketType.PUBACK: _acknowledgement(Puback, reason.PUBACK, Holder.PUBACK),
    PacketType.PUBREC: _acknowledgement(Pubrec, reason.PUBREC, Holder.PUBREC),
    PacketType.PUBREL: _acknowledgement(Pubrel, reason.PUBREL, Holder.PUBREL),
    PacketType.PUBCOMP: _acknowledgement(Pubcomp, reason.PUBCOMP, Holder.PUBCOMP),
}
BY_CLIENT: Mapping[int, Decoder] = {
    **_BY_EITHER,
    PacketType.SUBSCRIBE: _subscribe,
    PacketType.UNSUBSCRIBE: _unsubscribe,
    PacketType.PINGREQ: _pingreq,
    PacketType.DISCONNECT: _disconnect(reason.CLIENT_DISCONNECT),
    PacketType.AUTH: _auth(reason.CLIENT_AUTH),
}
"""What a client may send; anything else from it is a protocol error."""
BY_SERVER: Mapping[int, Decoder] = {
    **_BY_EITHER,
    PacketType.CONNACK: _connack,
    PacketType.SUBACK: _suback,
    PacketType.UNSUBACK: _unsuback,
    PacketType.PINGRESP: _pingresp,
    PacketType.DISCONNECT: _disconnect(reason.SERVER_DISCONNECT),
    PacketType.AUTH: _auth(reason.SERVER_AUTH),
}
