"""PUBLISH by its shortest way, and one message for many receivers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import PacketError
from broker.link import QoS
from broker.native import publish
from broker.native.packet import Publish, Version
from broker.native.properties import EMPTY, Properties
from broker.native.publish import PublishTemplate, encode_publish
from broker.native.reason import Reason
from tests.broker.native.packets import (
    blobs,
    decode,
    flags,
    names,
    packet_ids,
    plain,
    properties_of,
    qualities,
    stream_of,
)

versions = st.sampled_from(Version)


def decoded(data: bytes, version: Version) -> Publish:
    packet = decode(data, version, "server")
    assert isinstance(packet, Publish)
    return packet


@given(
    versions,
    names,
    blobs,
    properties_of("PUBLISH", but=["subscription_identifiers", "topic_alias"]),
    st.lists(st.tuples(qualities, flags, flags, packet_ids), max_size=5),
)
def test_a_template_gives_each_receiver_the_packet_that_is_its_own(
    version: Version,
    topic: str,
    payload: bytes,
    properties: Properties,
    receivers: list[tuple[QoS, bool, bool, int]],
) -> None:
    template = PublishTemplate(topic, payload, version=version, properties=properties)
    held = properties if version is Version.V5 else EMPTY
    for qos, retain, dup, packet_id in receivers:
        found = decoded(template.packet(qos, retain, dup, packet_id), version)
        number = packet_id if qos else 0
        again = dup and qos > 0  # [MQTT-3.3.1-2]
        assert plain(found) == Publish(topic, payload, qos, retain, again, number, held)


@given(
    versions,
    qualities,
    st.lists(st.integers(1, 268_435_455), max_size=3).map(tuple),
    st.none() | packet_ids,
    flags,
    properties_of("PUBLISH", but=["subscription_identifiers", "topic_alias"]),
)
def test_a_template_adds_the_identifiers_and_the_alias_of_one_receiver(
    version: Version,
    qos: QoS,
    identifiers: tuple[int, ...],
    alias: int | None,
    with_topic: bool,
    properties: Properties,
) -> None:
    template = PublishTemplate("a/b", b"x", version=version, properties=properties)
    data = template.packet(
        qos,
        packet_id=7,
        subscription_identifiers=identifiers,
        topic_alias=alias,
        with_topic=with_topic,
    )
    found = decoded(data, version)
    assert (found.payload, found.qos, found.packet_id) == (b"x", qos, 7 if qos else 0)
    if version is Version.V5:
        assert found.topic == ("a/b" if with_topic or alias is None else "")
        assert found.properties.subscription_identifiers == identifiers
        assert found.properties.topic_alias == alias
        assert found.properties.user_properties == properties.user_properties
    else:
        assert (found.topic, found.properties) == ("a/b", EMPTY)
    assert template.packet() == encode_publish("a/b", b"x", version=version, properties=properties)


@pytest.mark.parametrize("version", Version)
def test_receivers_at_qos_0_share_the_very_same_bytes(version: Version) -> None:
    template = PublishTemplate("a", b"x", version=version)
    assert template.packet() is template.packet()
    assert template.packet(retain=True) is template.packet(retain=True)
    assert template.packet() != template.packet(retain=True)


@given(versions, names, blobs, flags, properties_of("PUBLISH", but=["topic_alias"]))
def test_a_qos_0_packet_keeps_its_bytes_to_be_sent_on(
    version: Version, topic: str, payload: bytes, retain: bool, properties: Properties
) -> None:
    data = encode_publish(
        topic, payload, QoS.AT_MOST_ONCE, retain, version=version, properties=properties
    )
    other = encode_publish("before", b"it", version=version)
    stream = stream_of(version, "server")
    stream.feed(other + data + other)
    found = [stream.next_packet() for _ in range(3)]
    assert [packet.raw for packet in found if isinstance(packet, Publish)] == [other, data, other]


def test_bytes_that_others_can_not_be_sent_are_not_kept() -> None:
    numbered = encode_publish("a", b"", QoS.AT_LEAST_ONCE, packet_id=1, version=Version.V311)
    assert decoded(numbered, Version.V311).raw is None
    aliased = encode_publish("a", b"", version=Version.V5, properties=Properties(topic_alias=1))
    assert decoded(aliased, Version.V5).raw is None


def test_a_topic_may_be_left_to_its_alias() -> None:
    data = bytes.fromhex("30 08 0000 03 230001 7879")
    assert decode(data, Version.V5) == Publish("", b"xy", properties=Properties(topic_alias=1))


def test_a_topic_that_comes_again_is_the_same_object() -> None:
    data = encode_publish("the/same", b"", version=Version.V311)
    one, other = (decoded(data, version) for version in (Version.V31, Version.V311))
    assert one.topic is other.topic


def test_the_cache_of_topics_is_bounded_in_number_and_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known: dict[bytes, str] = {}
    monkeypatch.setattr(publish, "_known", known)
    monkeypatch.setattr(publish, "_KNOWN_TOPICS", 10)
    most = 0
    for number in range(100):
        data = encode_publish(f"t/{number}", b"", version=Version.V311)
        assert decoded(data, Version.V311).topic == f"t/{number}"
        most = max(most, len(known))
    assert most == 10
    known.clear()
    assert decoded(encode_publish("x" * 300, b"", version=Version.V311), Version.V311).topic
    assert not known


def test_a_wrong_topic_is_refused_each_time_it_comes() -> None:
    data = b"\x30\x03\x00\x01+"
    for _ in range(2):
        with pytest.raises(PacketError) as caught:
            decode(data, Version.V311)
        assert caught.value.reason is Reason.TOPIC_NAME_INVALID
    with pytest.raises(PacketError):
        decode(b"\x30\x04\x00\x01+\x00", Version.V5)


@pytest.mark.parametrize("size", [0, 1, 121, 122, 124, 125, 16_377, 16_379, 16_380, 2_097_147])
@pytest.mark.parametrize("version", Version)
def test_the_length_is_right_at_every_step_of_its_own_length(version: Version, size: int) -> None:
    for qos in QoS:
        data = encode_publish("a", bytes(size), qos, packet_id=1, version=version)
        found = decoded(data, version)
        assert (len(found.payload), found.qos) == (size, qos)
