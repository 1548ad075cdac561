from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from broker.errors import LinkAwayError, LinkFullError
from broker.link import Message, QoS
from tests.real_ends import until
from tests.webui.outlet import RecordingOutlet
from tests.webui.serving import RecordingLink
from webui.errors import RefusedError
from webui.hub import Hub, HubLimits
from webui.identity import EVERYBODY, NOBODY, Identity
from webui.pacer import Pacer
from webui.publishing import publisher
from webui.session import Session
from webui.wire import MAX_SUBSCRIPTIONS


class Conversation:
    """A session, and what reaches its peer."""

    def __init__(self, identity: Identity, limits: HubLimits | None = None) -> None:
        self.hub = Hub("e1", lambda _topic: True, limits)
        self.pacer = Pacer(self.hub)
        self.link = RecordingLink()
        self.outlet = RecordingOutlet()
        self.frames = self.outlet.frames
        self.session = Session(self.hub, identity, publisher(self.link), self.outlet)

    async def ask(self, **frame: object) -> dict[str, Any]:
        """The answer to a frame, while nothing is delivered."""
        await self.session.answer(json.dumps(frame))
        return self.frames[-1]

    def publish(self, topic: str, *payloads: str) -> None:
        self.hub.publish([Message(topic, payload.encode()) for payload in payloads], 0)
        self.pacer.news()

    def delivered(self, frame_id: int = 0) -> list[str]:
        return [
            message["payload"]
            for frame in self.frames
            if frame["op"] == "messages" and frame["id"] == frame_id
            for message in frame["messages"]
        ]

    def ops(self) -> list[str]:
        return [frame["op"] for frame in self.frames]


@contextlib.asynccontextmanager
async def conversation(
    identity: Identity = EVERYBODY, limits: HubLimits | None = None
) -> AsyncIterator[Conversation]:
    talk = Conversation(identity, limits)
    try:
        yield talk
    finally:
        talk.session.close()
        assert talk.hub.size().channels == 0


async def test_after_subscribing_come_last_values_and_then_live_ones() -> None:
    async with conversation() as talk:
        talk.publish("a", "1", "2")
        await talk.ask(op="subscribe", id=3, filters=["#"])
        await until(lambda: talk.delivered(3) == ["2"], "the last value")
        talk.publish("a", "3")
        await until(lambda: talk.delivered(3) == ["2", "3"], "a live value")
    assert talk.frames[0] == {"op": "subscribed", "id": 3, "epoch": "e1", "seq": 2}
    assert [message.get("last") for frame in talk.frames[1:] for message in frame["messages"]] == [
        True,
        None,
    ]


async def test_a_gap_stands_between_the_answer_and_the_last_values() -> None:
    async with conversation() as talk:
        talk.publish("a", "1")
        await talk.ask(op="subscribe", filters=["#"], since="other-7")
        await until(lambda: talk.delivered() == ["1"], "the last value")
    assert talk.ops() == ["subscribed", "gap", "messages"]
    assert talk.frames[0]["recovered"] is False
    assert talk.frames[1]["reset"] is True


async def test_the_same_id_replaces_a_subscription_and_a_refusal_does_not() -> None:
    async with conversation() as talk:
        await talk.ask(op="subscribe", id=1, filters=["a"])
        await talk.ask(op="subscribe", id=1, filters=["b"])
        answer = await talk.ask(op="subscribe", id=1, filters=["c"], since="nonsense")
        assert (answer["op"], answer["code"], answer["id"]) == ("error", "bad_frame", 1)
        assert talk.hub.size().channels == 1
        for topic in "abc":
            talk.publish(topic, topic)
        await until(lambda: talk.delivered(1) == ["b"], "what the second asked for")


async def test_a_session_has_so_many_subscriptions_at_most() -> None:
    async with conversation() as talk:
        for frame_id in range(MAX_SUBSCRIPTIONS):
            assert (await talk.ask(op="subscribe", id=frame_id, filters=["#"]))["op"] != "error"
        answer = await talk.ask(op="subscribe", id=99, filters=["#"])
        assert (answer["code"], answer["id"]) == ("too_many", 99)
        assert (await talk.ask(op="subscribe", id=0, filters=["a"]))["op"] == "subscribed"
        assert (await talk.ask(op="unsubscribe", id=1)) == {"op": "unsubscribed", "id": 1}
        assert (await talk.ask(op="subscribe", id=99, filters=["#"]))["op"] == "subscribed"


async def test_what_is_unsubscribed_is_not_delivered() -> None:
    async with conversation() as talk:
        await talk.ask(op="subscribe", id=1, filters=["#"])
        await talk.ask(op="subscribe", id=2, filters=["#"])
        await talk.ask(op="unsubscribe", id=1)
        talk.publish("a", "1")
        await until(lambda: talk.delivered(2), "the other subscription's message")
        assert talk.delivered(1) == []


async def test_to_unsubscribe_what_was_never_subscribed_is_answered_all_the_same() -> None:
    async with conversation() as talk:
        assert (await talk.ask(op="unsubscribe", id=5)) == {"op": "unsubscribed", "id": 5}


async def test_a_ping_is_answered_with_its_id() -> None:
    async with conversation() as talk:
        assert await talk.ask(op="ping", id=3) == {"op": "pong", "id": 3}
        assert await talk.ask(op="ping") == {"op": "pong", "id": 0}


async def test_overlapping_subscriptions_each_deliver() -> None:
    async with conversation() as talk:
        await talk.ask(op="subscribe", id=1, filters=["a/#"])
        await talk.ask(op="subscribe", id=2, filters=["a/b", "#"])
        talk.publish("a/b", "1")
        await until(lambda: talk.delivered(1) == talk.delivered(2) == ["1"], "both")


async def test_a_loud_subscription_does_not_silence_a_quiet_one() -> None:
    async with conversation() as talk:
        delivered: list[str] = []

        def there_is_always_more(frame: dict[str, Any]) -> None:
            if frame["op"] == "messages":
                delivered.append(frame["messages"][0]["topic"])
                talk.publish("loud", "more")

        talk.outlet.on_write = there_is_always_more
        talk.publish("loud", "1")
        talk.publish("quiet", "1")
        await talk.ask(op="subscribe", id=1, filters=["loud"])
        await talk.ask(op="subscribe", id=2, filters=["quiet"])
        await until(lambda: len(delivered) > 10, "several frames")
        assert "quiet" in delivered


async def test_of_much_one_frame_goes_out_a_turn_so_that_others_have_theirs() -> None:
    async with conversation(limits=HubLimits(frame_bytes=1)) as talk:
        for n in range(3):
            talk.publish(f"t/{n}", str(n))
        await talk.ask(op="subscribe", filters=["#"])
        counts: list[int] = []
        while len(talk.delivered()) < 3:
            await asyncio.sleep(0)
            counts.append(len(talk.delivered()))
    assert counts[-3:] == [1, 2, 3]


async def test_sessions_at_the_same_place_are_given_the_very_same_bytes() -> None:
    async with conversation() as talk:
        other = RecordingOutlet()
        second = Session(talk.hub, EVERYBODY, publisher(talk.link), other)
        await talk.ask(op="subscribe", id=7, filters=["#"])
        await second.answer('{"op":"subscribe","id":7,"filters":["#"]}')
        talk.publish("a", "1")
        await until(lambda: len(talk.frames) == len(other.frames) == 2, "both")
        assert talk.outlet.written[1] is other.written[1]
        second.close()


async def test_nothing_is_answered_or_done_while_the_peer_does_not_read() -> None:
    async with conversation() as talk:
        await talk.ask(op="subscribe", filters=["#"])
        talk.outlet.freeze()
        leaving = asyncio.create_task(talk.session.answer('{"op":"unsubscribe"}'))
        refusing = asyncio.create_task(talk.session.refuse(RefusedError("bad_frame", "no")))
        talk.publish("a", "1")
        await asyncio.sleep(0.02)
        assert talk.ops() == ["subscribed"]
        talk.outlet.thaw()
        await leaving
        await refusing
        assert talk.ops() == ["subscribed", "messages", "unsubscribed", "error"]


async def test_what_comes_after_its_end_is_neither_done_nor_answered() -> None:
    async with conversation() as talk:
        talk.outlet.freeze()
        waiting = asyncio.create_task(talk.session.answer('{"op":"publish","topic":"a"}'))
        await asyncio.sleep(0)
        talk.session.close()
        talk.outlet.thaw()
        await waiting
        await talk.session.answer('{"op":"subscribe","filters":["#"]}')
        await talk.session.refuse(RefusedError("bad_frame", "no"))
        assert talk.link.published == []
        assert talk.frames == []


async def test_to_a_peer_that_is_gone_nothing_is_written() -> None:
    async with conversation() as talk:
        await talk.ask(op="subscribe", filters=["#"])
        talk.outlet.vanish()
        talk.publish("a", "1")
        await asyncio.sleep(0.02)
        with pytest.raises(ConnectionError):
            await talk.session.answer('{"op":"subscribe","filters":["b"]}')
        assert talk.ops() == ["subscribed"]
        assert talk.hub.size().channels == 1


async def test_a_peer_that_does_not_read_holds_nothing_and_then_gets_the_newest() -> None:
    async with conversation(limits=HubLimits(log_messages=100)) as talk:
        await talk.ask(op="subscribe", filters=["#"])
        talk.outlet.freeze()
        for n in range(1000):
            talk.publish("a", str(n))
            if n % 100 == 0:
                await asyncio.sleep(0)
        talk.outlet.thaw()
        await until(lambda: talk.delivered()[-1:] == ["999"], "the newest value")
    gaps = [frame for frame in talk.frames if frame["op"] == "gap"]
    assert len(gaps) == 1
    assert gaps[0]["missed"] + len(talk.delivered()) == 1000


async def test_a_publish_frame_is_published_as_mqtt_understands_it() -> None:
    async with conversation() as talk:
        answer = await talk.ask(op="publish", id=4, topic="a/set", payload="on", qos=1)
        assert answer == {"op": "published", "id": 4}
        await talk.ask(op="publish", topic="b", payload="/w==", base64=True, retain=True)
    assert talk.link.published == [
        Message("a/set", b"on", QoS.AT_LEAST_ONCE),
        Message("b", b"\xff", retain=True),
    ]


@pytest.mark.parametrize(
    ("trouble", "code"),
    [(LinkAwayError("it is away"), "unavailable"), (LinkFullError("it is full"), "rate_limited")],
)
async def test_a_link_in_trouble_refuses_with_its_reason(trouble: Exception, code: str) -> None:
    async with conversation() as talk:
        talk.link.trouble = trouble
        answer = await talk.ask(op="publish", id=4, topic="a")
        assert answer == {"op": "error", "id": 4, "code": code, "message": str(trouble)}


async def test_who_may_nothing_is_refused_everything_but_a_ping() -> None:
    async with conversation(NOBODY) as talk:
        assert (await talk.ask(op="subscribe", id=1, filters=["a"]))["code"] == "forbidden"
        assert (await talk.ask(op="publish", id=2, topic="a"))["code"] == "forbidden"
        assert (await talk.ask(op="ping", id=3))["op"] == "pong"
        assert talk.link.published == []


async def test_what_is_no_frame_is_answered_with_an_error() -> None:
    async with conversation() as talk:
        await talk.session.answer("hello")
        assert (talk.frames[-1]["op"], talk.frames[-1]["code"]) == ("error", "bad_frame")
        await talk.session.answer('{"op":"dance","id":7}')
        assert (talk.frames[-1]["id"], talk.frames[-1]["code"]) == (7, "unknown_op")
