"""All packets there can be, for Hypothesis; and the specification's tables, written down again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from hypothesis import strategies as st

from broker.errors import PacketError
from broker.link import QoS
from broker.native.encode import encode
from broker.native.packet import (
    Auth,
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
from broker.native.stream import PacketStream

Side = Literal["client", "server"]

LARGE = 300_000_000
"""More than any packet can have."""

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=8
)
filters = st.sampled_from(["#", "+", "a", "/", "a/+/b/#", "$SYS/#", "é/€/𝄞", "$share/g/a/+"])
blobs = st.binary(max_size=8)
flags = st.booleans()
two_bytes = st.integers(0, 65_535)
four_bytes = st.integers(0, 4_294_967_295)
packet_ids = st.integers(1, 65_535)
qualities = st.sampled_from(QoS)

# Table 2-4: identifier, one value on the wire, values, and who may hold it.
MESSAGE = "PUBLISH WILL"
OPENING = "CONNECT CONNACK"
ALL = (
    "CONNECT WILL CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE"
    " UNSUBACK DISCONNECT AUTH"
)
PROPERTIES: dict[str, tuple[int, bytes, st.SearchStrategy[Any], str]] = {
    "payload_format_indicator": (1, b"\1", flags, MESSAGE),
    "message_expiry_interval_s": (2, b"\0\0\0\0", four_bytes, MESSAGE),
    "content_type": (3, b"\0\1x", texts, MESSAGE),
    "response_topic": (8, b"\0\1x", names, MESSAGE),
    "correlation_data": (9, b"\0\1x", blobs, MESSAGE),
    "subscription_identifiers": (
        11,
        b"\1",
        st.lists(st.integers(1, 268_435_455), min_size=1, max_size=1).map(tuple),
        "PUBLISH SUBSCRIBE",
    ),
    "session_expiry_interval_s": (17, b"\0\0\0\0", four_bytes, OPENING + " DISCONNECT"),
    "assigned_client_identifier": (18, b"\0\1x", texts, "CONNACK"),
    "server_keep_alive_s": (19, b"\0\0", two_bytes, "CONNACK"),
    "authentication_method": (21, b"\0\1x", texts, OPENING + " AUTH"),
    "authentication_data": (22, b"\0\1x", blobs, OPENING + " AUTH"),
    "request_problem_information": (23, b"\1", flags, "CONNECT"),
    "will_delay_interval_s": (24, b"\0\0\0\0", four_bytes, "WILL"),
    "request_response_information": (25, b"\1", flags, "CONNECT"),
    "response_information": (26, b"\0\1x", texts, "CONNACK"),
    "server_reference": (28, b"\0\1x", texts, "CONNACK DISCONNECT"),
    "reason_string": (
        31,
        b"\0\1x",
        texts,
        "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH",
    ),
    "receive_maximum": (33, b"\0\1", packet_ids, OPENING),
    "topic_alias_maximum": (34, b"\0\0", two_bytes, OPENING),
    "topic_alias": (35, b"\0\1", packet_ids, "PUBLISH"),
    "maximum_qos": (36, b"\1", st.sampled_from([QoS(0), QoS(1)]), "CONNACK"),
    "retain_available": (37, b"\1", flags, "CONNACK"),
    "user_properties": (
        38,
        b"\0\1x\0\1y",
        st.lists(st.tuples(texts, texts), min_size=1, max_size=3).map(tuple),
        ALL,
    ),
    "maximum_packet_size": (39, b"\0\0\0\1", st.integers(1, 4_294_967_295), OPENING),
    "wildcard_subscription_available": (40, b"\1", flags, "CONNACK"),
    "subscription_identifier_available": (41, b"\1", flags, "CONNACK"),
    "shared_subscription_available": (42, b"\1", flags, "CONNACK"),
}


def fitting(properties: dict[str, Any]) -> Properties:
    if "authentication_method" not in properties:
        properties.pop("authentication_data", None)
    return Properties(**properties)


def properties_of(holder: str, *, but: Iterable[str] = ()) -> st.SearchStrategy[Properties]:
    """Any properties that this packet may hold; half of the time there is none."""
    allowed = {
        name: values
        for name, (_, _, values, holders) in PROPERTIES.items()
        if holder in holders.split() and name not in but
    }
    return st.just(EMPTY) | st.fixed_dictionaries({}, optional=allowed).map(fitting)


def reasons(codes: Iterable[int]) -> st.SearchStrategy[Reason]:
    return st.sampled_from([Reason(code) for code in codes])


ACK = (0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
RELEASE = (0x00, 0x92)
CONNACK = (0x00, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F)
SUBACK = (0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2)
UNSUBACK = (0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91)
CLIENT_DISCONNECT = (
    *(0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90),
    *(0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99),
)
SERVER_DISCONNECT = (
    *(0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94),
    *(0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2),
)

wills = st.builds(Will, names, blobs, qualities, flags, properties_of("WILL"))


def publishes(side: Side) -> st.SearchStrategy[Publish]:
    but = ["subscription_identifiers"] if side == "client" else []
    held = properties_of("PUBLISH", but=but)
    named = st.builds(
        Publish,
        names,
        blobs,
        st.sampled_from([QoS.AT_LEAST_ONCE, QoS.EXACTLY_ONCE]),
        flags,
        flags,
        packet_ids,
        held,
    )
    return named | st.builds(Publish, names, blobs, retain=flags, properties=held)


def _either(side: Side) -> list[st.SearchStrategy[Packet]]:
    return [
        publishes(side),
        st.builds(Puback, packet_ids, reasons(ACK), properties_of("PUBACK")),
        st.builds(Pubrec, packet_ids, reasons(ACK), properties_of("PUBREC")),
        st.builds(Pubrel, packet_ids, reasons(RELEASE), properties_of("PUBREL")),
        st.builds(Pubcomp, packet_ids, reasons(RELEASE), properties_of("PUBCOMP")),
    ]


connects: st.SearchStrategy[Connect] = st.builds(
    Connect,
    st.just(Version.V5),
    names,
    flags,
    two_bytes,
    st.none() | texts,
    st.none() | blobs,
    st.none() | wills,
    properties_of("CONNECT"),
)
requests = st.builds(
    SubscribeRequest, filters, qualities, st.just(False), flags, st.integers(0, 2)
) | st.builds(SubscribeRequest, st.just("a/#"), no_local=st.just(True))
from_client: st.SearchStrategy[Packet] = st.one_of(
    *_either("client"),
    st.builds(
        Subscribe,
        packet_ids,
        st.lists(requests, min_size=1, max_size=3).map(tuple),
        properties_of("SUBSCRIBE"),
    ),
    st.builds(
        Unsubscribe,
        packet_ids,
        st.lists(filters, min_size=1, max_size=3).map(tuple),
        properties_of("UNSUBSCRIBE"),
    ),
    st.just(Pingreq()),
    st.builds(Disconnect, reasons(CLIENT_DISCONNECT), properties_of("DISCONNECT")),
    st.builds(Auth, reasons([0x18, 0x19]), properties_of("AUTH")),
)
from_server: st.SearchStrategy[Packet] = st.one_of(
    *_either("server"),
    st.builds(Connack, flags, st.just(Reason.SUCCESS), properties_of("CONNACK"))
    | st.builds(Connack, st.just(False), reasons(CONNACK), properties_of("CONNACK")),
    st.builds(
        Suback,
        packet_ids,
        st.lists(reasons(SUBACK), min_size=1, max_size=3).map(tuple),
        properties_of("SUBACK"),
    ),
    st.builds(
        Unsuback,
        packet_ids,
        st.lists(reasons(UNSUBACK), min_size=1, max_size=3).map(tuple),
        properties_of("UNSUBACK"),
    ),
    st.just(Pingresp()),
    st.builds(
        Disconnect,
        reasons(SERVER_DISCONNECT),
        properties_of("DISCONNECT", but=["session_expiry_interval_s"]),
    ),
    st.builds(Auth, reasons([0x00, 0x18]), properties_of("AUTH")),
)


def stream_of(
    version: Version | None, sent_by: Side = "client", max_packet_bytes: int = LARGE
) -> PacketStream:
    return PacketStream(max_packet_bytes=max_packet_bytes, sent_by=sent_by, version=version)


def drain(stream: PacketStream) -> list[Packet]:
    """All packets that are complete, each PUBLISH without its raw bytes."""
    found: list[Packet] = []
    while (packet := stream.next_packet()) is not None:
        found.append(plain(packet))
    return found


def plain(packet: Packet) -> Packet:
    if isinstance(packet, Publish):
        return msgspec.structs.replace(packet, raw=None)
    return packet


def decode(data: bytes, version: Version | None, sent_by: Side = "client") -> Packet:
    """The one packet that these bytes are."""
    stream = stream_of(version, sent_by)
    stream.feed(data)
    packet = stream.next_packet()
    assert packet is not None, "more bytes are wanted"
    assert stream.next_packet() is None
    assert stream.buffered == 0
    return packet


def there_and_back(packet: Packet, version: Version, sent_by: Side = "client") -> Packet:
    before = None if isinstance(packet, Connect) else version
    return plain(decode(encode(packet, version), before, sent_by))


def outcome(chunks: Iterable[bytes], version: Version | None, sent_by: Side) -> list[object]:
    """What any bytes lead to: packets and, where they are wrong, the error's reason at the end."""
    stream = stream_of(version, sent_by, max_packet_bytes=1_000_000)
    found: list[object] = []
    try:
        for chunk in chunks:
            stream.feed(chunk)
            while (packet := stream.next_packet()) is not None:
                found.append(packet)
    except PacketError as error:
        found.append(error.reason)
    return found
