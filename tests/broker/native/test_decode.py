"""Malformed packets, each by the clause that it breaks, and the reason that answers it."""

from __future__ import annotations

import pytest

from broker.errors import PacketError
from broker.link import QoS
from broker.native.packet import (
    Connect,
    Disconnect,
    Packet,
    Puback,
    Publish,
    Pubrel,
    Subscribe,
    SubscribeRequest,
    Unsubscribe,
    Version,
)
from broker.native.reason import Reason
from tests.broker.native.packets import (
    ACK,
    CLIENT_DISCONNECT,
    CONNACK,
    RELEASE,
    SERVER_DISCONNECT,
    SUBACK,
    UNSUBACK,
    Side,
    decode,
)

V31, V311, V5 = Version
MALFORMED, WRONG = Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR
NAME, FILTER = Reason.TOPIC_NAME_INVALID, Reason.TOPIC_FILTER_INVALID


def packet(first: int, body: str) -> bytes:
    """Bytes from a first byte and a body in hexadecimal digits."""
    rest = bytes.fromhex(body)
    assert len(rest) < 128
    return bytes([first, len(rest)]) + rest


def refused(data: bytes, version: Version | None, side: Side = "client") -> Reason:
    with pytest.raises(PacketError) as caught:
        decode(data, version, side)
    return caught.value.reason


# A PUBLISH or SUBSCRIBE body with a text in it, as 3.1.1 and 5 have it.
def text(value: bytes) -> str:
    return len(value).to_bytes(2, "big").hex() + value.hex()


@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize(
    ("clause", "first", "body", "expected"),
    [
        ("MQTT-1.5.4-1 not UTF-8", 0x30, text(b"a\xff"), MALFORMED),
        ("MQTT-1.5.4-1 surrogate", 0x30, text(b"\xed\xa0\x80"), MALFORMED),
        ("MQTT-1.5.4-1 over-long form", 0x30, text(b"\xc0\xaf"), MALFORMED),
        ("MQTT-1.5.4-2 NUL", 0x30, text(b"a\0"), MALFORMED),
        ("MQTT-3.3.1-2 DUP at QoS 0", 0x38, text(b"a"), MALFORMED),
        ("MQTT-3.3.1-4 QoS 3", 0x36, text(b"a") + "0001", MALFORMED),
        ("MQTT-2.2.1-3 packet id 0", 0x32, text(b"a") + "0000", WRONG),
        ("MQTT-3.3.2-2 wildcard", 0x30, text(b"a/+"), NAME),
        ("MQTT-3.3.2-2 wildcard", 0x30, text(b"#"), NAME),
        ("2.1.4 topic longer than the packet", 0x30, "000361", MALFORMED),
        ("2.1.4 nothing in it", 0x30, "", MALFORMED),
        ("2.1.4 half a length", 0x30, "00", MALFORMED),
        ("2.1.4 no packet id", 0x32, text(b"a") + "00", MALFORMED),
        ("MQTT-2.1.3-1 PUBACK flags", 0x41, "0001", MALFORMED),
        ("MQTT-3.6.1-1 PUBREL flags", 0x60, "0001", MALFORMED),
        ("MQTT-3.8.1-1 SUBSCRIBE flags", 0x80, "0001", MALFORMED),
        ("MQTT-3.10.1-1 UNSUBSCRIBE flags", 0xA3, "0001", MALFORMED),
        ("MQTT-2.1.3-1 PINGREQ flags", 0xC1, "", MALFORMED),
        ("MQTT-3.14.1-1 DISCONNECT flags", 0xE2, "", MALFORMED),
        ("3.4 PUBACK without packet id", 0x40, "", MALFORMED),
        ("MQTT-2.2.1-5 PUBACK of packet id 0", 0x40, "0000", WRONG),
        ("3.12 PINGREQ with a body", 0xC0, "00", MALFORMED),
        ("MQTT-3.1.0-2 second CONNECT", 0x10, "00044d5154540402000000017a", WRONG),
        ("2.1.2 CONNACK from a client", 0x20, "0000", WRONG),
        ("2.1.2 SUBACK from a client", 0x90, "000100", WRONG),
        ("2.1.2 UNSUBACK from a client", 0xB0, "0001", WRONG),
        ("2.1.2 PINGRESP from a client", 0xD0, "", WRONG),
        ("2.1.2 packet type 0", 0x00, "", WRONG),
    ],
)
def test_a_packet_that_breaks_this_clause_is_refused(
    version: Version, clause: str, first: int, body: str, expected: Reason
) -> None:
    assert clause
    assert refused(packet(first, body), version) is expected


@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize(
    ("clause", "first", "body", "expected"),
    [
        ("MQTT-3.8.3-2 no filter", 0x82, "", WRONG),
        ("MQTT-3.8.3-1 not UTF-8", 0x82, text(b"\xff") + "00", MALFORMED),
        ("MQTT-1.5.4-2 NUL", 0x82, text(b"\0") + "00", MALFORMED),
        ("MQTT-4.7.3-1 empty filter", 0x82, "000000", FILTER),
        ("MQTT-4.7.1-1 # within", 0x82, text(b"#/a") + "00", FILTER),
        ("MQTT-4.7.1-1 # in a level", 0x82, text(b"a#") + "00", FILTER),
        ("MQTT-4.7.1-2 + in a level", 0x82, text(b"a+") + "00", FILTER),
        ("MQTT-4.8.2-1 no share name", 0x82, text(b"$share//a") + "00", FILTER),
        ("MQTT-4.8.2-2 wildcard in share name", 0x82, text(b"$share/+/a") + "00", FILTER),
        ("MQTT-4.8.2-2 no filter shared", 0x82, text(b"$share/g") + "00", FILTER),
        ("MQTT-4.8.2-2 empty filter shared", 0x82, text(b"$share/g/") + "00", FILTER),
        ("3.8.3.1 QoS 3", 0x82, text(b"a") + "03", WRONG),
        ("MQTT-3.8.3-5 reserved options", 0x82, text(b"a") + "40", MALFORMED),
        ("MQTT-3.8.3-5 reserved options", 0x82, text(b"a") + "80", MALFORMED),
        ("3.8.3 no options", 0x82, text(b"a"), MALFORMED),
        ("3.8.3 half a filter after a whole one", 0x82, text(b"a") + "0000", MALFORMED),
        ("MQTT-3.10.3-2 no filter", 0xA2, "", WRONG),
        ("MQTT-3.10.3-1 not UTF-8", 0xA2, text(b"\xff"), MALFORMED),
        ("MQTT-4.7.1-1 # within", 0xA2, text(b"#/a"), FILTER),
        ("3.10.3 half a filter", 0xA2, "0002", MALFORMED),
    ],
)
def test_a_subscribe_or_unsubscribe_that_breaks_this_clause_is_refused(
    version: Version, clause: str, first: int, body: str, expected: Reason
) -> None:
    assert clause
    start = "0001" + ("00" if version is V5 else "")
    assert refused(packet(first, start + body), version) is expected
    start = "0000" + ("00" if version is V5 else "")  # [MQTT-2.2.1-3]
    assert refused(packet(first, start + text(b"a") + "00"), version) is WRONG


@pytest.mark.parametrize(
    ("clause", "first", "body", "expected"),
    [
        ("MQTT-3-8.3-4 options of 5 in 3.1.1", 0x82, "0001" + text(b"a") + "04", MALFORMED),
        ("3.10.3 bytes after the last filter", 0xA2, "0001" + text(b"a") + "00", MALFORMED),
        ("MQTT-4.7.3-1 empty topic", 0x30, "0000", NAME),
        ("3.4.1 PUBACK of three bytes", 0x40, "000100", MALFORMED),
        ("3.14.1 DISCONNECT with a reason", 0xE0, "00", MALFORMED),
        ("2.2.1 AUTH is not there yet", 0xF0, "", WRONG),
    ],
)
def test_a_packet_that_311_does_not_have_is_refused(
    clause: str, first: int, body: str, expected: Reason
) -> None:
    assert clause
    assert refused(packet(first, body), V311) is expected


@pytest.mark.parametrize(
    ("clause", "first", "body", "expected"),
    [
        ("3.3.2.1 neither topic nor alias", 0x30, "000000", WRONG),
        ("MQTT-2.2.2-1 no property length", 0x30, "000161", MALFORMED),
        ("2.2.2.1 properties longer than the packet", 0x30, "00016102", MALFORMED),
        ("MQTT-1.5.5-1 property length", 0x30, "0001618000", MALFORMED),
        ("1.5.5 property length of five bytes", 0x30, "0001618080808001", MALFORMED),
        ("MQTT-3.3.2-14 wildcard", 0x30, "000161 04 08 000123", NAME),
        ("MQTT-4.7.3-1 empty response topic", 0x30, "000161 03 08 0000", NAME),
        ("MQTT-3.3.4-6 subscription identifier", 0x30, "000161 02 0b01", WRONG),
        ("MQTT-3.8.3-4 No Local when shared", 0x82, "000100" + text(b"$share/g/a") + "04", WRONG),
        ("3.8.3.1 retain handling 3", 0x82, "000100" + text(b"a") + "30", WRONG),
        ("3.8.2.1.2 two identifiers", 0x82, "0001 04 0b01 0b02" + text(b"a") + "00", WRONG),
        ("MQTT-3.4.2-1 reason", 0x40, "000101", WRONG),
        ("3.4.2 bytes after the properties", 0x40, "0001000000", MALFORMED),
        ("MQTT-3.5.2-1 reason", 0x50, "000192", WRONG),
        ("MQTT-3.6.2-1 reason", 0x62, "000180", WRONG),
        ("MQTT-3.7.2-1 reason", 0x70, "000180", WRONG),
        ("MQTT-3.14.2-1 reason of a server", 0xE0, "8e", WRONG),
        ("MQTT-3.14.2-1 no reason at all", 0xE0, "05", WRONG),
        ("3.14 bytes at the end", 0xE0, "000000", MALFORMED),
        ("MQTT-3.15.1-1 flags", 0xF1, "", MALFORMED),
        ("MQTT-3.15.2-1 reason of a server", 0xF0, "0000", WRONG),
        ("3.15.2 no property length", 0xF0, "18", MALFORMED),
        ("3.15 bytes at the end", 0xF0, "180000", MALFORMED),
    ],
)
def test_a_packet_of_5_that_breaks_this_clause_is_refused(
    clause: str, first: int, body: str, expected: Reason
) -> None:
    assert clause
    assert refused(packet(first, body), V5) is expected


@pytest.mark.parametrize(
    ("clause", "first", "body", "expected"),
    [
        ("MQTT-3.2.2-1 flags", 0x20, "020000", MALFORMED),
        ("MQTT-3.2.2-6 a session, but refused", 0x20, "018700", WRONG),
        ("MQTT-3.2.2-8 reason", 0x20, "000100", WRONG),
        ("3.2 bytes at the end", 0x20, "00000000", MALFORMED),
        ("3.9.3 no reason", 0x90, "000100", WRONG),
        ("MQTT-3.9.3-2 reason", 0x90, "00010003", WRONG),
        ("3.11.3 no reason", 0xB0, "000100", WRONG),
        ("MQTT-3.11.3-2 reason", 0xB0, "00010001", WRONG),
        ("MQTT-3.14.2-1 reason of a client", 0xE0, "04", WRONG),
        ("MQTT-3.14.2-2 session expiry", 0xE0, "00 05 11 00000001", WRONG),
        ("2.1.2 SUBSCRIBE from a server", 0x82, "000100" + text(b"a") + "00", WRONG),
        ("2.1.2 UNSUBSCRIBE from a server", 0xA2, "000100" + text(b"a"), WRONG),
        ("2.1.2 PINGREQ from a server", 0xC0, "", WRONG),
    ],
)
def test_a_servers_packet_that_breaks_this_clause_is_refused(
    clause: str, first: int, body: str, expected: Reason
) -> None:
    assert clause
    assert refused(packet(first, body), V5, "server") is expected


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x30\xff\xff\xff\xff", MALFORMED),  # 2.1.4: four bytes at most
        (b"\x30\x80\x80\x80\x80\x01", MALFORMED),
        (b"\x30\x80\x00", MALFORMED),  # [MQTT-1.5.5-1]
        (b"\x30\x83\x00\x00\x01a", MALFORMED),
        (b"\x30\xff\xff\xff\x80", MALFORMED),
    ],
)
def test_a_wrong_remaining_length_is_refused(
    version: Version, data: bytes, expected: Reason
) -> None:
    assert refused(data, version) is expected


@pytest.mark.parametrize("first", [0x00, 0x20, 0x30, 0x40, 0x82, 0xC0, 0xE0, 0xF0])
def test_the_first_packet_must_be_a_connect(first: int) -> None:  # [MQTT-3.1.0-1]
    assert refused(packet(first, "0001"), None) is WRONG


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # MQTT 3.1 marks repeated packets by DUP, and doesn't use the other flags
        (packet(0x8A, "0001" + text(b"a") + "fd"), Subscribe(1, (SubscribeRequest("a", QoS(1)),))),
        (packet(0xAA, "0001" + text(b"a")), Unsubscribe(1, ("a",))),
        (packet(0x6A, "0001"), Pubrel(1)),
        (packet(0x6B, "0001"), Pubrel(1)),
        (packet(0x41, "0001"), Puback(1)),
    ],
)
def test_31_takes_flags_that_it_does_not_use(data: bytes, expected: Packet) -> None:
    assert decode(data, V31) == expected
    assert refused(data, V311) is MALFORMED


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (packet(0x40, "0001"), Puback(1)),
        (packet(0x40, "000110"), Puback(1, Reason.NO_MATCHING_SUBSCRIBERS)),
        (packet(0x40, "00010000"), Puback(1)),
        (packet(0xE0, ""), Disconnect()),
        (packet(0xE0, "04"), Disconnect(Reason.DISCONNECT_WITH_WILL_MESSAGE)),
        (packet(0xE0, "0000"), Disconnect()),
        (packet(0x30, text(b"\xef\xbb\xbfa") + "00"), Publish("\ufeffa", b"")),  # [MQTT-1.5.4-3]
    ],
)
def test_5_takes_what_may_be_left_out(data: bytes, expected: Packet) -> None:
    found = decode(data, V5)
    assert type(found) is type(expected)
    if isinstance(found, Publish) and isinstance(expected, Publish):
        assert found.topic == expected.topic
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("side", "first", "before", "after", "allowed"),
    [
        ("client", 0x40, "0001", "", ACK),
        ("client", 0x50, "0001", "", ACK),
        ("client", 0x62, "0001", "", RELEASE),
        ("client", 0x70, "0001", "", RELEASE),
        ("client", 0xE0, "", "", CLIENT_DISCONNECT),
        ("client", 0xF0, "", "00", (0x18, 0x19)),
        ("server", 0x20, "00", "00", CONNACK),
        ("server", 0x90, "000100", "", SUBACK),
        ("server", 0xB0, "000100", "", UNSUBACK),
        ("server", 0xE0, "", "", SERVER_DISCONNECT),
        ("server", 0xF0, "", "00", (0x00, 0x18)),
    ],
)
def test_a_packet_carries_the_reasons_of_its_table_and_no_others(
    side: Side, first: int, before: str, after: str, allowed: tuple[int, ...]
) -> None:
    taken, reasons = [], set()
    for code in range(256):
        data = packet(first, f"{before}{code:02x}{after}")
        try:
            decode(data, V5, side)
        except PacketError as error:
            reasons.add(error.reason)
        else:
            taken.append(code)
    assert taken == sorted(allowed)
    assert reasons == {WRONG}


def connect(name: bytes, level: int, flags: int, rest: str, properties: str = "") -> bytes:
    return packet(0x10, text(name) + f"{level:02x}{flags:02x}003c" + properties + rest)


def connect_3(flags: int, rest: str) -> bytes:
    return connect(b"MQTT", 4, flags, rest)


def connect_5(flags: int, rest: str, properties: str = "00") -> bytes:
    return connect(b"MQTT", 5, flags, rest, properties)


ID, WILL, USER, WORD = text(b"x"), text(b"w") + text(b"bye"), text(b"u"), text(b"p")


@pytest.mark.parametrize(
    ("clause", "data", "expected"),
    [
        ("MQTT-3.1.2-1 name", connect(b"mqtt", 4, 2, ID), Reason.UNSUPPORTED_PROTOCOL_VERSION),
        ("MQTT-3.1.2-1 name", connect(b"MQIsdp", 4, 2, ID), Reason.UNSUPPORTED_PROTOCOL_VERSION),
        ("MQTT-3.1.2-1 name", connect(b"\xff", 4, 2, ID), Reason.UNSUPPORTED_PROTOCOL_VERSION),
        ("MQTT-3.1.2-2 level 3", connect(b"MQTT", 3, 2, ID), Reason.UNSUPPORTED_PROTOCOL_VERSION),
        ("MQTT-3.1.2-2 level 6", connect(b"MQTT", 6, 2, ID), Reason.UNSUPPORTED_PROTOCOL_VERSION),
        ("a bridge's bit", connect(b"MQTT", 0x84, 2, ID), Reason.UNSUPPORTED_PROTOCOL_VERSION),
        ("MQTT-3.1.2-3 reserved flag", connect_3(0x03, ID), MALFORMED),
        ("MQTT-3.1.2-3 reserved flag", connect_5(0x03, ID), MALFORMED),
        ("MQTT-3.1.2-11 will QoS", connect_3(0x0A, ID), MALFORMED),
        ("MQTT-3.1.2-11 will QoS", connect_5(0x12, ID), MALFORMED),
        ("MQTT-3.1.2-13 will retain", connect_3(0x22, ID), MALFORMED),
        ("MQTT-3.1.2-12 will QoS 3", connect_3(0x1E, ID + WILL), MALFORMED),
        ("MQTT-3.1.2-9 no will", connect_3(0x06, ID), MALFORMED),
        ("MQTT-3.1.2-9 no will payload", connect_3(0x06, ID + text(b"w")), MALFORMED),
        ("MQTT-3.1.3-11 will topic", connect_3(0x06, ID + text(b"\xff") + WORD), MALFORMED),
        ("MQTT-3.3.2-2 will topic", connect_3(0x06, ID + text(b"a/#") + WORD), NAME),
        ("MQTT-4.7.3-1 will topic", connect_5(0x06, ID + "00" + "0000" + WORD), NAME),
        ("MQTT-3.3.2-14", connect_5(0x06, ID + "04 08 000123" + WILL), NAME),
        ("MQTT-3.1.2-22 of 3.1.1", connect_3(0x42, ID + WORD), MALFORMED),
        ("MQTT-3.1.2-17 no user name", connect_3(0x82, ID), MALFORMED),
        ("MQTT-3.1.2-19 no password", connect_5(0xC2, ID + USER), MALFORMED),
        ("MQTT-3.1.3-12 user name", connect_3(0x82, ID + text(b"\xff")), MALFORMED),
        ("MQTT-3.1.2-16 user name unsaid", connect_3(0x02, ID + USER), MALFORMED),
        ("MQTT-3.1.2-18 password unsaid", connect_5(0x82, ID + USER + WORD), MALFORMED),
        ("MQTT-3.1.3-3 no client id", connect_3(0x02, ""), MALFORMED),
        ("MQTT-3.1.3-4 client id", connect_5(0x02, text(b"\xff")), MALFORMED),
        ("MQTT-3.1.3-8", connect_3(0x00, text(b"")), Reason.CLIENT_IDENTIFIER_NOT_VALID),
        ("3.1.3.1 no id", connect(b"MQIsdp", 3, 2, "0000"), Reason.CLIENT_IDENTIFIER_NOT_VALID),
        ("MQTT-2.1.3-1 flags", packet(0x11, connect_3(2, ID)[2:].hex()), MALFORMED),
        ("3.1.2.11.3 receive maximum", connect_5(2, ID, "03 21 0000"), WRONG),
        ("3.1.2.11.4 packet size", connect_5(2, ID, "05 27 00000000"), WRONG),
        ("3.1.2.11.6 response info", connect_5(2, ID, "02 19 02"), WRONG),
        ("3.1.2.11.7 problem info", connect_5(2, ID, "02 17 02"), WRONG),
        ("3.1.2.11.10 data, no method", connect_5(2, ID, "04 16 0001 78"), WRONG),
        ("3.1.2.11.2 twice", connect_5(2, ID, "0a 11 00000001 11 00000001"), WRONG),
    ],
)
def test_a_connect_that_breaks_this_clause_is_refused(
    clause: str, data: bytes, expected: Reason
) -> None:
    assert clause
    assert refused(data, None) is expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (connect_3(2, "0000"), Connect(V311, "", True, 60)),
        (connect_5(0, ID), Connect(V5, "x", False, 60)),
        (connect_5(0, "0000"), Connect(V5, "", False, 60)),
        (connect_5(0x42, ID + WORD), Connect(V5, "x", True, 60, None, b"p")),  # 3.1.2.9
        (connect_3(0xC2, ID + USER + WORD), Connect(V311, "x", True, 60, "u", b"p")),
        (connect(b"MQIsdp", 3, 2, text(b"x" * 60)), Connect(V31, "x" * 60, True, 60)),
        (connect(b"MQIsdp", 3, 0xC2, ID), Connect(V31, "x", True, 60)),
        (connect(b"MQIsdp", 3, 0xC2, ID + USER), Connect(V31, "x", True, 60, "u")),
        (connect(b"MQIsdp", 3, 0x3B, ID), Connect(V31, "x", True, 60)),
    ],
)
def test_a_connect_that_may_look_odd_is_taken(data: bytes, expected: Connect) -> None:
    assert decode(data, None) == expected
