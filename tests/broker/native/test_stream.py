"""Any bytes, cut anywhere: packets, "need more" or a PacketError, and nothing else."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import PacketError
from broker.native.encode import encode
from broker.native.packet import (
    Connect,
    Packet,
    Pingreq,
    Publish,
    Subscribe,
    SubscribeRequest,
    Version,
)
from broker.native.publish import encode_publish
from broker.native.reason import Reason
from broker.native.stream import PacketStream
from tests.broker.native.packets import (
    Side,
    connects,
    drain,
    from_client,
    from_server,
    outcome,
    stream_of,
)

SIDES: list[Side] = ["client", "server"]
sides = st.sampled_from(SIDES)
versions = st.sampled_from(Version)
CONNECT = encode(Connect(Version.V311, "x"), Version.V311)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(bounds)]


@given(connects, st.lists(from_client, max_size=5), st.lists(st.integers(0)), st.data())
def test_it_does_not_matter_where_the_bytes_are_cut(
    connect: Connect, packets: list[Packet], places: list[int], data: st.DataObject
) -> None:
    sent = [connect, *packets]
    stream = stream_of(None)
    found: list[Packet] = []
    for chunk in cut(b"".join(encode(packet, Version.V5) for packet in sent), places):
        stream.feed(chunk)
        if data.draw(st.booleans()):  # or else somebody else's turn came first
            found += drain(stream)
    found += drain(stream)
    assert found == sent
    assert stream.buffered == 0


@given(st.one_of(connects, from_client))
def test_a_packet_that_lacks_its_last_byte_is_waited_for(packet: Packet) -> None:
    data = encode(packet, Version.V5)
    stream = stream_of(None if isinstance(packet, Connect) else Version.V5)
    for place in range(len(data) - 1):
        stream.feed(data[place : place + 1])
        assert stream.next_packet() is None
    assert stream.buffered == len(data) - 1


@given(st.binary(max_size=64), st.none() | versions, sides)
def test_any_bytes_are_packets_or_the_documented_error(
    data: bytes, version: Version | None, side: Side
) -> None:
    outcome([data], version, side)


@given(st.integers(0, 255), st.binary(max_size=40), st.none() | versions, sides)
def test_any_body_is_a_packet_or_the_documented_error(
    first: int, body: bytes, version: Version | None, side: Side
) -> None:
    outcome([bytes([first, len(body)]) + body], version, side)


@given(st.binary(max_size=40), versions, st.lists(st.integers(0)))
def test_any_bytes_lead_to_the_same_wherever_they_are_cut(
    data: bytes, version: Version, places: list[int]
) -> None:
    assert outcome(cut(data, places), version, "client") == outcome([data], version, "client")


@given(
    st.tuples(st.just("client"), st.one_of(connects, from_client))
    | st.tuples(st.just("server"), from_server),
    versions,
)
def test_a_packet_with_any_byte_flipped_is_a_packet_or_the_documented_error(
    sent: tuple[Side, Packet], version: Version
) -> None:
    side, packet = sent
    try:
        data = encode(packet, version)
    except PacketError:  # what only MQTT 5 can say
        data = encode(packet, Version.V5)
    known = None if isinstance(packet, Connect) else version
    for place in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(data)
            changed[place] ^= flip
            outcome([bytes(changed)], known, side)


def test_the_work_can_be_left_after_any_packet_and_gone_on_with() -> None:
    stream = stream_of(Version.V5)
    stream.feed(encode(Pingreq(), Version.V5) * 500_000)
    for done in range(1, 1001):
        assert stream.next_packet() == Pingreq()
        assert stream.buffered == 1_000_000 - 2 * done
    stream.feed(encode_publish("a", b"later", version=Version.V5))
    *pings, last = drain(stream)
    assert len(pings) == 499_000
    assert last == Publish("a", b"later")


def test_what_comes_before_a_wrong_packet_is_still_given() -> None:
    stream = stream_of(None)
    stream.feed(CONNECT + b"\xc0\x00" + b"\xc0\x01\x00" + b"\xc0\x00")
    assert isinstance(stream.next_packet(), Connect)
    assert stream.next_packet() == Pingreq()
    for _ in range(2):
        with pytest.raises(PacketError, match="PINGREQ: 1 bytes too many"):
            stream.next_packet()


def test_nothing_is_kept_after_an_error() -> None:
    stream = stream_of(None)
    stream.feed(b"GET / HTTP/1.1\r\n" + bytes(100_000))
    stream.feed(bytes(100_000))
    with pytest.raises(PacketError, match="no CONNECT"):
        stream.next_packet()
    assert stream.buffered == 0
    stream.feed(bytes(100_000))
    assert stream.buffered == 0


@pytest.mark.parametrize("version", Version)
def test_a_packet_of_the_largest_size_is_taken_and_one_byte_more_is_not(version: Version) -> None:
    fits = encode_publish("a", bytes(1000), version=version)
    stream = stream_of(version, max_packet_bytes=len(fits))
    stream.feed(fits)
    assert isinstance(stream.next_packet(), Publish)
    stream.feed(encode_publish("a", bytes(1001), version=version)[:3])  # its header tells it
    with pytest.raises(PacketError) as caught:
        stream.next_packet()
    assert caught.value.reason is Reason.PACKET_TOO_LARGE  # [MQTT-3.2.2-15]


def test_an_oversized_first_packet_that_is_no_connect_is_told_so() -> None:
    stream = stream_of(None, max_packet_bytes=1000)
    stream.feed(b"\x30\xff\xff\xff\x7f")
    with pytest.raises(PacketError, match="no CONNECT"):
        stream.next_packet()


@pytest.mark.timeout(100)  # some seconds; where each chunk costs what came before it, minutes
@pytest.mark.parametrize("size", [1, 7, 65_536])
def test_a_large_packet_costs_its_size_however_small_the_chunks_are(size: int) -> None:
    packet = encode_publish("a", bytes(1_500_000), version=Version.V311)
    stream = stream_of(Version.V311)
    for start in range(0, len(packet), size):
        stream.feed(packet[start : start + size])
        if start + size < len(packet):
            assert stream.next_packet() is None
            assert stream.buffered == start + size
    found = stream.next_packet()
    assert isinstance(found, Publish)
    assert found.raw == packet
    assert len(found.payload) == 1_500_000


def test_an_idle_stream_holds_no_more_than_the_bytes_of_its_unfinished_packet() -> None:
    one = encode_publish("a", bytes(1000), version=Version.V311)
    streams = [stream_of(Version.V311) for _ in range(100)]
    tracemalloc.start()
    try:
        for stream in streams:
            stream.feed(one * 60 + one[:10])
            while stream.next_packet() is not None:
                pass
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 100 * 1000


def test_the_version_is_known_where_a_connect_of_it_is_refused() -> None:
    stream = stream_of(None)
    data = bytearray(encode(Connect(Version.V5, "x"), Version.V5))
    data[9] |= 0x01  # the reserved connect flag
    stream.feed(bytes(data))
    with pytest.raises(PacketError, match="reserved connect flag"):
        stream.next_packet()
    assert stream.version is Version.V5


def test_one_packet_holds_no_more_filters_than_a_client_may() -> None:
    for count, is_taken in ((20_000, True), (20_001, False)):
        stream = PacketStream(max_packet_bytes=2**24)
        requests = (SubscribeRequest("a"),) * count
        stream.feed(encode(Connect(Version.V5, "c"), Version.V5))
        assert isinstance(stream.next_packet(), Connect)
        stream.feed(encode(Subscribe(1, requests), Version.V5))
        if is_taken:
            assert isinstance(stream.next_packet(), Subscribe)
        else:
            with pytest.raises(PacketError, match="20000 topic filters at most") as caught:
                stream.next_packet()
            assert caught.value.reason is Reason.QUOTA_EXCEEDED
