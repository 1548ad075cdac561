from __future__ import annotations

from collections.abc import Sequence

import pytest

from broker.errors import TopicError
from broker.link import Message, QoS, Subscription
from broker.native.local_link import LocalLink
from broker.native.packet import Publish
from tests.broker.native.peer import served
from tests.real_ends import until

Q0, Q1, Q2 = QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE, QoS.EXACTLY_ONCE


class Events:
    def __init__(self) -> None:
        self.seen: list[object] = []

    def link_up(self) -> None:
        self.seen.append("up")

    def link_down(self, reason: str) -> None:
        self.seen.append(reason)

    def receive(self, messages: Sequence[Message]) -> None:
        self.seen.append(list(messages))


async def test_a_link_hears_that_it_is_up_then_what_is_retained_then_what_is_live() -> None:
    async with served() as broker, broker.peer("one") as one:
        await one.publish("a/b", b"kept", Q2, retain=True)
        events = Events()
        subscriptions = [Subscription("a/#", Q1), Subscription("a/+", Q0)]
        async with LocalLink(broker.core, events).running(subscriptions) as link:
            assert link.is_up
            await one.publish("a/c", b"live", Q0, retain=True)
            await until(lambda: len(events.seen) == 3, "all has come")
            assert events.seen == [
                "up",
                [Message("a/b", b"kept", Q1, retain=True)],
                [Message("a/c", b"live", Q0, retain=True)],
            ]
        await one.publish("a/c", b"after", Q1)
        assert len(events.seen) == 3


async def test_what_a_link_publishes_is_routed_at_once_and_comes_back_in_one_burst() -> None:
    async with served() as broker, broker.peer("one") as one:
        await one.subscribe("#")
        events = Events()
        async with LocalLink(broker.core, events).running([Subscription("#")]) as link:
            link.publish(Message("a", b"1", Q2))
            link.publish(Message("a", b"2", retain=True))
            with pytest.raises(TopicError):
                link.publish(Message("a/#", b"3"))
            assert await one.payloads() == [b"1", b"2"]
            assert events.seen == ["up", [Message("a", b"1"), Message("a", b"2", retain=True)]]
        assert list(broker.core.retained.topics("#")) == ["a"]


async def test_a_link_gets_messages_that_came_at_once_in_their_order_and_in_a_burst() -> None:
    sent = [Publish(f"a/{number % 3}", b"%d" % number) for number in range(2000)]
    async with served() as broker, broker.peer("one") as one:
        events = Events()
        async with LocalLink(broker.core, events).running([Subscription("a/+", Q1)]):
            one.send(*sent[:3])
            await one.settled()
            one.send(*sent[3:])
            await one.settled()
            bursts = [burst for burst in events.seen[1:] if isinstance(burst, list)]
            messages = [message for burst in bursts for message in burst]
            assert messages == [Message(each.topic, each.payload) for each in sent]
            assert len(bursts) < 200
