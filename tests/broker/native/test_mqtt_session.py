from __future__ import annotations

import pytest

from broker.errors import PacketError
from broker.link import QoS
from broker.native.aliases import TopicAliases
from broker.native.message_run import MessageRun
from broker.native.mqtt_session import MqttSession
from broker.native.packet import Packet, Publish, Pubrel, Version
from broker.native.routed import Routed
from broker.native.router import Route
from broker.native.stream import PacketStream

Q0, Q1, Q2 = QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE, QoS.EXACTLY_ONCE


class FakeWire:
    """A connection without a socket; what it was given, taken apart."""

    is_open = True
    version = Version.V5
    aliases: TopicAliases | None = None

    def __init__(self, window: int = 10) -> None:
        self.window = window
        self.has_room = True
        self.time = 0.0
        self.sent: list[Packet] = []
        self._stream = PacketStream(max_packet_bytes=10**8, sent_by="server", version=Version.V5)

    def send(self, frame: bytes) -> bool:
        self._stream.feed(frame)
        packet = self._stream.next_packet()
        assert packet is not None
        self.sent.append(packet)
        return True

    def send_run(self, run: MessageRun) -> bool:
        return self.send(run.raw)

    def send_packet(self, packet: Pubrel) -> bool:
        self.sent.append(packet)
        return True

    def now(self) -> float:
        return self.time

    @property
    def payloads(self) -> list[bytes]:
        return [packet.payload for packet in self.sent if isinstance(packet, Publish)]


def give(session: MqttSession, payload: bytes, qos: QoS, expires_at: float | None = None) -> None:
    message = Routed("a", payload, qos, expires_at=expires_at)
    session.deliver(message, Route(session, Q2, False, ()))


def test_the_queue_is_bounded_and_the_oldest_goes_first() -> None:
    session = MqttSession("one", max_queued=3)
    for number in range(5):
        give(session, b"%d" % number, Q1)
    assert (session.waiting, session.dropped) == (3, 2)
    session.wire = wire = FakeWire()
    session.resume()
    assert wire.payloads == [b"2", b"3", b"4"]


def test_qos_0_is_not_kept_and_only_a_client_that_is_there_loses_it() -> None:
    session = MqttSession("one")
    give(session, b"1", Q0)
    assert (session.waiting, session.dropped) == (0, 0)
    session.wire = wire = FakeWire()
    wire.has_room = False
    give(session, b"2", Q0)
    assert (session.waiting, session.dropped) == (0, 1)


def test_what_expired_while_it_waited_is_not_sent() -> None:
    session = MqttSession("one")
    give(session, b"1", Q1, expires_at=5)
    give(session, b"2", Q1, expires_at=20)
    session.wire = wire = FakeWire()
    wire.time = 10
    session.resume()
    assert wire.payloads == [b"2"]


def test_a_full_connection_is_filled_again_in_order() -> None:
    session = MqttSession("one")
    session.wire = wire = FakeWire(window=2)
    for number in range(5):
        give(session, b"%d" % number, Q1)
    assert wire.payloads == [b"0", b"1"]
    wire.has_room = False
    session.acknowledged(1)
    assert wire.payloads == [b"0", b"1"]
    wire.has_room = True
    session.pump()
    assert wire.payloads == [b"0", b"1", b"2"]


def test_what_comes_while_old_messages_wait_to_be_sent_again_comes_behind_them() -> None:
    session = MqttSession("one")
    session.wire = FakeWire()
    for number in range(4):
        give(session, b"%d" % number, Q1)
    session.wire = wire = FakeWire(window=2)
    session.resume()
    give(session, b"new", Q1)
    for packet_id in (1, 2, 3, 4):
        assert session.acknowledged(packet_id)
    assert wire.payloads == [b"0", b"1", b"2", b"3", b"new"]


def test_an_acknowledgement_of_the_wrong_kind_is_refused_and_an_unknown_one_ignored() -> None:
    session = MqttSession("one")
    session.wire = FakeWire()
    give(session, b"1", Q1)
    give(session, b"2", Q2)
    with pytest.raises(PacketError):
        session.completed(1)
    with pytest.raises(PacketError):
        session.received(1, failed=False)
    with pytest.raises(PacketError):
        session.acknowledged(2)
    with pytest.raises(PacketError):
        session.completed(2)
    assert not session.acknowledged(9)
    assert not session.completed(9)
    assert not session.received(9, failed=False)


def test_packet_ids_go_round_past_those_in_use() -> None:
    session = MqttSession("one")
    session.wire = wire = FakeWire()
    give(session, b"stays", Q2)
    for _ in range(70_000):
        give(session, b"", Q1)
        last = wire.sent[-1]
        assert isinstance(last, Publish)
        assert 1 < last.packet_id < 65_536
        session.acknowledged(last.packet_id)
        wire.sent.clear()
