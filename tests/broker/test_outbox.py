"""The outbox: bounded, in order, and nothing accepted is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.errors import LinkFullError
from broker.link import Message, QoS
from broker.outbox import PACKET_OVERHEAD, Outbox, wire_size


def message(payload: bytes = b"") -> Message:
    return Message("t", payload, QoS.AT_LEAST_ONCE)


def test_the_size_on_the_wire_counts_topic_payload_and_overhead() -> None:
    assert wire_size(message(b"12345")) == 6 + PACKET_OVERHEAD


def test_a_refusal_says_what_waits_and_the_bound() -> None:
    outbox = Outbox(most_messages=1, most_bytes=1000)
    outbox.put(message())
    with pytest.raises(LinkFullError, match=r"1 messages with 11 bytes wait .* 1 or 1000 bytes"):
        outbox.put(message())
    assert len(outbox) == 1


def test_a_message_larger_than_the_whole_queue_is_refused_for_good() -> None:
    outbox = Outbox(most_messages=10, most_bytes=100)
    with pytest.raises(LinkFullError, match=r"of 111 bytes never fits .* 100 bytes"):
        outbox.put(message(bytes(100)))


def test_an_unknown_acknowledgement_changes_nothing() -> None:
    outbox = Outbox(most_messages=10, most_bytes=100)
    outbox.put(message())
    assert outbox.acknowledged(7) is None
    assert len(outbox) == 1


class OutboxModel(RuleBasedStateMachine):
    """The outbox beside a plain list of what was accepted and not acknowledged."""

    MOST_MESSAGES, MOST_BYTES = 8, 150

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(self.MOST_MESSAGES, self.MOST_BYTES)
        self.kept: list[Message] = []
        self.flying: dict[int, Message] = {}
        self.number = 0

    @rule(size=st.integers(0, 60))
    def put(self, size: int) -> None:
        self.number += 1
        new = Message(str(self.number), bytes(size), QoS.AT_LEAST_ONCE)
        total = sum(map(wire_size, [*self.kept, new]))
        if len(self.kept) == self.MOST_MESSAGES or total > self.MOST_BYTES:
            with pytest.raises(LinkFullError):
                self.outbox.put(new)
        else:
            self.outbox.put(new)
            self.kept.append(new)

    @precondition(lambda self: self.outbox.first() is not None)
    @rule()
    def send(self) -> None:
        first = self.outbox.first()
        assert first == self.kept[len(self.flying)]
        self.number += 1
        self.outbox.sent(self.number)
        self.flying[self.number] = first

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        packet_id = data.draw(st.sampled_from(sorted(self.flying)))
        sent = self.flying.pop(packet_id)
        assert self.outbox.acknowledged(packet_id) == sent
        self.kept.remove(sent)

    @precondition(lambda self: self.outbox.first() is not None)
    @rule()
    def drop_first(self) -> None:
        self.kept.pop(len(self.flying))
        self.outbox.drop_first()

    @rule()
    def lose_the_connection(self) -> None:
        self.outbox.connection_lost()
        self.flying.clear()
        assert self.outbox.first() == (self.kept[0] if self.kept else None)

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.outbox) == len(self.kept)
        assert self.outbox.in_flight == len(self.flying)


TestOutboxModel = OutboxModel.TestCase
