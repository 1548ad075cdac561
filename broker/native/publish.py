"""PUBLISH, read and written in as few steps as possible: it is what a broker does all day."""

from __future__ import annotations

from broker.errors import PacketError, TopicError
from broker.link import QoS
from broker.native import field
from broker.native.field import FieldReader, variable_integer
from broker.native.packet import AT_MOST_ONCE, V5, Publish, Version
from broker.native.properties import EMPTY, Holder, Properties, read_properties, write_each
from broker.native.reason import Reason
from broker.topics import check_name

_KNOWN_TOPICS = 8_192
_KNOWN_TOPIC_BYTES = 256
"""The cache of topic names that were found good: 6 MB at most, thrown away when it is full.

All connections share it, so that a topic is one str for all of them.
"""
_known: dict[bytes, str] = {}

_QOS = tuple(QoS)
_FLAGS = {  # QoS, retain, DUP; not with a QoS of 3, nor DUP at QoS 0
    qos << 1 | retain | dup << 3: (qos, retain, dup)
    for qos in QoS
    for retain in (False, True)
    for dup in (False, True)
    if qos or not dup
}


def decode_publish(
    buffer: bytes, start: int, at: int, end: int, version: Version, from_client: bool
) -> Publish:
    """The PUBLISH from `start` to `end`, whose fixed header goes to `at`; else PacketError."""
    if end - at < 2:
        raise _malformed("the packet ends before its topic name does")
    topic_end = at + 2 + (buffer[at] << 8 | buffer[at + 1])
    if topic_end > end:
        raise _malformed("the packet ends before its topic name does")
    encoded = buffer[at + 2 : topic_end]
    topic = _known.get(encoded)
    if topic is None:
        topic = _topic(encoded, version)
    flags = _FLAGS.get(buffer[start] & 0x0F)
    if flags is not None and topic:  # as nearly all of them are: without properties, nothing wrong
        qos, retain, dup = flags
        at, packet_id = topic_end, 0
        if qos and at + 1 < end:
            packet_id = buffer[at] << 8 | buffer[at + 1]
            at += 2
        is_plain = packet_id > 0 or not qos
        if version is V5:
            is_plain = is_plain and at < end and not buffer[at]
            at += 1
        if is_plain:
            raw = None if qos else buffer[start:end]
            return Publish(topic, buffer[at:end], qos, retain, dup, packet_id, EMPTY, raw)
    return _decode_any(buffer, start, topic_end, end, topic, version, from_client)


def _decode_any(
    buffer: bytes,
    start: int,
    at: int,
    end: int,
    topic: str,
    version: Version,
    from_client: bool,
) -> Publish:
    flags = buffer[start]
    if flags & 0x06 == 0x06:  # [MQTT-3.3.1-4]
        raise _malformed("the QoS is 3")
    qos = _QOS[flags >> 1 & 3]
    dup = bool(flags & 0x08)
    if dup and not qos:  # [MQTT-3.3.1-2]
        raise _malformed("the DUP flag is set at QoS 0")
    reader = FieldReader("PUBLISH", buffer, at, end)
    packet_id = reader.packet_id() if qos else 0  # [MQTT-2.2.1-2]
    held = EMPTY
    if version is V5:
        held = read_properties(reader, Holder.PUBLISH)
        if held is not EMPTY:
            _check_properties(reader, held, from_client)
        if not topic and held.topic_alias is None:  # 3.3.2.1
            raise reader.protocol_error("there is neither a topic name nor a topic alias")
    can_be_sent_on = not qos and held.topic_alias is None
    return Publish(
        topic,
        reader.rest(),
        qos,
        bool(flags & 0x01),
        dup,
        packet_id,
        held,
        buffer[start:end] if can_be_sent_on else None,
    )


def _check_properties(reader: FieldReader, held: Properties, from_client: bool) -> None:
    if from_client and held.subscription_identifiers:  # [MQTT-3.3.4-6]
        raise reader.protocol_error("a client can't send subscription identifiers")
    check_response_topic(reader, held)


def check_response_topic(reader: FieldReader, held: Properties) -> None:
    """Raise PacketError where a message or will names a response topic that is none."""
    if held.response_topic is not None:
        check_topic(reader.packet, held.response_topic)  # [MQTT-3.3.2-14]


def check_topic(packet: str, topic: str) -> str:
    """Return a topic name that may be published to, else raise PacketError."""
    try:
        return check_name(topic)  # [MQTT-3.3.2-2], [MQTT-4.7.3-1]
    except TopicError as error:
        raise PacketError(Reason.TOPIC_NAME_INVALID, f"{packet}: {error}") from None


def _topic(encoded: bytes, version: Version) -> str:
    if not encoded and version is V5:
        return ""  # a topic alias must follow, then
    topic = check_topic("PUBLISH", field.decode_text("PUBLISH", encoded, "topic name"))
    if len(encoded) <= _KNOWN_TOPIC_BYTES:
        if len(_known) >= _KNOWN_TOPICS:
            _known.clear()
        _known[encoded] = topic
    return topic


def _malformed(message: str) -> PacketError:
    return PacketError(Reason.MALFORMED_PACKET, f"PUBLISH: {message}")


def encode_publish(
    topic: str,
    payload: bytes,
    qos: QoS = AT_MOST_ONCE,
    retain: bool = False,
    dup: bool = False,
    packet_id: int = 0,
    *,
    version: Version,
    properties: Properties = EMPTY,
) -> bytes:
    """One PUBLISH packet; before MQTT 5 its properties are left out."""
    field.text(topic)  # which says what is wrong with it
    template = PublishTemplate(topic, payload, version=version, properties=properties)
    return template.packet(qos, retain, dup, packet_id)


class PublishTemplate:
    """One message with a valid topic, encoded once for all receivers that speak one version.

    `properties` are those that all of them get; what is each receiver's own (flags, packet id,
    subscription identifiers, topic alias) is given to `packet`. A QoS 0 packet with nothing of
    its own is made once and is the same bytes object each time.
    """

    __slots__ = ("_is_5", "_made", "_payload", "_properties", "_tail", "_topic")

    def __init__(
        self, topic: str, payload: bytes, *, version: Version, properties: Properties = EMPTY
    ) -> None:
        self._topic = _topic_field(topic)
        self._is_5 = version is V5
        self._payload = payload
        self._properties = b""
        self._tail = payload
        if self._is_5:
            if properties is not EMPTY:
                self._properties = write_each(properties, Holder.PUBLISH)
            self._tail = variable_integer(len(self._properties)) + self._properties + payload
        self._made: dict[int, bytes] = {}  # by the first byte, up to where a packet id comes

    def packet(
        self,
        qos: QoS = AT_MOST_ONCE,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
        *,
        subscription_identifiers: tuple[int, ...] = (),
        topic_alias: int | None = None,
        with_topic: bool = True,
    ) -> bytes:
        """The packet for one receiver. The last three are for MQTT 5, and left out before it.

        `with_topic` is false where the receiver knows the topic by its alias already.
        """
        first = 0x30 | retain
        if qos:
            first |= dup << 3 | qos << 1
        if self._is_5 and (subscription_identifiers or topic_alias is not None):
            own = b"".join(b"\x0b" + variable_integer(n) for n in subscription_identifiers)
            if topic_alias is not None:
                own += b"\x23" + topic_alias.to_bytes(2, "big")
            size = len(own) + len(self._properties)
            topic = self._topic if with_topic or topic_alias is None else b"\0\0"
            number = packet_id.to_bytes(2, "big") if qos else b""
            tail = number + variable_integer(size) + own + self._properties + self._payload
            return _head(first, topic, len(tail)) + tail
        made = self._made.get(first)
        if made is None:
            if qos:
                made = _head(first, self._topic, 2 + len(self._tail))
            else:
                made = _head(first, self._topic, len(self._tail)) + self._tail
            self._made[first] = made
        return made + packet_id.to_bytes(2, "big") + self._tail if qos else made


def retained_packet(topic: str, payload: bytes, version: Version) -> bytes:
    """A retained message at QoS 0, without properties, for one receiver and no other."""
    tail = b"\0" + payload if version is V5 else payload
    return _head(0x31, _topic_field(topic), len(tail)) + tail


def _topic_field(topic: str) -> bytes:
    encoded = topic.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _head(first: int, topic: bytes, size_after: int) -> bytes:
    size = len(topic) + size_after
    if size < 128:
        return bytes((first, size)) + topic
    return bytes((first,)) + variable_integer(size) + topic
