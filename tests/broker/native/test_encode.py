"""Every packet, in every version, written and read again."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
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
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    SubscribeRequest,
    Unsuback,
    Version,
)
from broker.native.properties import EMPTY, Properties
from broker.native.reason import CONNACK_3, Reason
from tests.broker.native.packets import (
    Side,
    connects,
    from_client,
    from_server,
    there_and_back,
)

THREES = [Version.V31, Version.V311]


def as_3(packet: Packet, version: Version) -> Packet:
    """What is left of a packet where there are no properties and hardly a reason code."""
    match packet:
        case Connect(will=will):
            if will is not None:
                will = msgspec.structs.replace(will, properties=EMPTY)
            return msgspec.structs.replace(
                packet,
                version=version,
                will=will,
                password=None if packet.username is None else packet.password,
                properties=EMPTY,
            )
        case Subscribe(packet_id, requests):
            return Subscribe(packet_id, tuple(SubscribeRequest(r.filter, r.qos) for r in requests))
        case Connack(session_present, reason):
            code = reason if reason in CONNACK_3.values() else Reason.SERVER_UNAVAILABLE
            if reason in (Reason.BANNED, Reason.BAD_AUTHENTICATION_METHOD):
                code = Reason.NOT_AUTHORIZED
            return Connack(session_present and version is Version.V311, code)
        case Suback(packet_id, reasons):
            return Suback(
                packet_id,
                tuple(Reason.UNSPECIFIED_ERROR if r.is_failure else r for r in reasons),
            )
        case Unsuback(packet_id):
            return Unsuback(packet_id)
        case Publish():
            return msgspec.structs.replace(packet, properties=EMPTY)
        case _ if hasattr(packet, "reason"):
            return msgspec.structs.replace(packet, reason=Reason.SUCCESS, properties=EMPTY)
    return msgspec.structs.replace(packet, properties=EMPTY) if packet.__struct_fields__ else packet


@given(connects)
def test_a_connect_of_5_comes_back_as_it_was(packet: Connect) -> None:
    assert there_and_back(packet, Version.V5) == packet


@given(from_client)
def test_a_clients_packet_of_5_comes_back_as_it_was(packet: Packet) -> None:
    assert there_and_back(packet, Version.V5) == packet


@given(from_server)
def test_a_servers_packet_of_5_comes_back_as_it_was(packet: Packet) -> None:
    assert there_and_back(packet, Version.V5, "server") == packet


@given(
    st.sampled_from(THREES),
    st.tuples(st.just("client"), connects | from_client)
    | st.tuples(st.just("server"), from_server),
)
def test_a_packet_of_3_comes_back_without_what_3_does_not_have(
    version: Version, sent: tuple[Side, Packet]
) -> None:
    side, packet = sent
    if isinstance(packet, Auth):
        with pytest.raises(PacketError, match="before MQTT 5"):
            encode(packet, version)
        return
    expected = as_3(packet, version)
    if isinstance(packet, Connect) and packet.username is None and packet.password is not None:
        with pytest.raises(PacketError, match="needs a user name"):
            encode(packet, version)
        packet = msgspec.structs.replace(packet, password=None)
    assert there_and_back(packet, version, side) == expected


@pytest.mark.parametrize(
    ("packet", "version", "expected"),
    [
        (Connack(), Version.V31, "20 02 00 00"),
        (Connack(True), Version.V31, "20 02 00 00"),
        (Connack(True), Version.V311, "20 02 01 00"),
        (Connack(True), Version.V5, "20 03 01 00 00"),
        (Connack(False, Reason.SERVER_BUSY), Version.V311, "20 02 00 03"),
        (Connack(False, Reason.UNSUPPORTED_PROTOCOL_VERSION), Version.V31, "20 02 00 01"),
        (Puback(258), Version.V5, "40 02 01 02"),
        (Puback(258, Reason.QUOTA_EXCEEDED), Version.V5, "40 03 01 02 97"),
        (Puback(258, Reason.QUOTA_EXCEEDED), Version.V311, "40 02 01 02"),
        (
            Puback(258, Reason.SUCCESS, Properties(reason_string="x")),
            Version.V5,
            "40 08 01 02 00 04 1f 00 01 78",
        ),
        (Unsuback(1, (Reason.SUCCESS,)), Version.V311, "b0 02 00 01"),
        (Unsuback(1, (Reason.SUCCESS,)), Version.V5, "b0 04 00 01 00 00"),
        (Suback(1, (Reason.NOT_AUTHORIZED,)), Version.V311, "90 03 00 01 80"),
        (Suback(1, (Reason.NOT_AUTHORIZED,)), Version.V5, "90 04 00 01 00 87"),
        (Pingresp(), Version.V5, "d0 00"),
        (Disconnect(), Version.V5, "e0 00"),
        (Disconnect(Reason.SESSION_TAKEN_OVER), Version.V5, "e0 01 8e"),
        (Disconnect(Reason.SESSION_TAKEN_OVER), Version.V311, "e0 00"),
        (Auth(), Version.V5, "f0 00"),
        (Connect(Version.V31, "x"), Version.V31, "10 0f 00 06 4d51497364 70 03 02 00 00 00 01 78"),
        (Connect(Version.V311, "x"), Version.V311, "10 0d 00 04 4d515454 04 02 00 00 00 01 78"),
        (Connect(Version.V5, "x"), Version.V5, "10 0e 00 04 4d515454 05 02 00 00 00 00 01 78"),
        (Publish("a", b"x"), Version.V311, "30 04 00 01 61 78"),
        (Publish("a", b"x"), Version.V5, "30 05 00 01 61 00 78"),
        (
            Publish("a", b"x", QoS.EXACTLY_ONCE, True, True, 258),
            Version.V5,
            "3d 07 00 01 61 01 02 00 78",
        ),
    ],
)
def test_the_bytes_are_those_of_the_specification(
    packet: Packet, version: Version, expected: str
) -> None:
    assert encode(packet, version) == bytes.fromhex(expected)


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        (Publish("x" * 65_536, b""), "too long"),
        (Publish("\ud800", b""), "surrogate"),
        (Publish("a\0", b""), "NUL"),
        (Publish("a", b"", properties=Properties(reason_string="x")), "doesn't belong in PUBLISH"),
        (Puback(1, properties=Properties(content_type="x")), "doesn't belong in PUBACK"),
        (Connect(Version.V5, "x", password=bytes(65_536)), "too long"),
    ],
)
def test_what_can_not_be_written_is_said(packet: Packet, says: str) -> None:
    with pytest.raises(PacketError, match=says):
        encode(packet, Version.V5)


def test_a_password_without_a_user_name_can_not_be_said_before_5() -> None:  # [MQTT-3.1.2-22]
    with pytest.raises(PacketError, match="needs a user name"):
        encode(Connect(Version.V311, "x", password=b"p"), Version.V311)


def test_a_packet_larger_than_mqtt_can_say_is_refused() -> None:
    with pytest.raises(PacketError, match="268435455") as caught:
        encode(Publish("a", bytes(268_435_455)), Version.V311)
    assert caught.value.reason is Reason.PACKET_TOO_LARGE


def test_a_connect_shows_no_password_when_it_is_printed() -> None:
    assert "secret" not in repr(Connect(Version.V5, "x", username="u", password=b"secret"))
