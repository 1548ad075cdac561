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
from webui.hub import Hub, HubLimits
from webui.identity import EVERYBODY, NOBODY, Identity
from webui.pacer import Pacer
from webui.publishing import publisher
from webui.session import Session
from webui.wire import MAX_SUBSCRIPTIONS


class RecordingLink:
    """A link that keeps what it is given, or is in trouble."""

    is_up = True
    reason = ""
    waiting = 0

    def __init__(self) -> None:
        self.published: list[Message] = []
        self.trouble: Exception | None = None

    def publish(self, message: Message) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.published.append(message)


class Conversation:
    """A session whose frames come to a list; `reads` is whether the peer does."""

    def __init__(self, identity: Identity, limits: HubLimits | None = None) -> None:
        self.hub = Hub("e1", lambda _topic: True, limits)
        self.pacer = Pacer(self.hub)
        self.link = RecordingLink()
        self.frames: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.session = Session(self.hub, identity, publisher(self.link), self._send)

    async def _send(self, text: str) -> None:
        await self.reads.wait()
        self.frames.append(json.loads(text))

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
    delivering = asyncio.create_task(talk.session.deliver())
    try:
        yield talk
    finally:
        delivering.cancel()
        await asyncio.wait([delivering])
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
    hub = Hub("e1", lambda _topic: True)
    delivered: list[str] = []

    async def send(text: str) -> None:
        """A peer so slow that there is more of the loud topic after every frame."""
        await asyncio.sleep(0)
        frame = json.loads(text)
        if frame["op"] == "messages":
            delivered.append(frame["messages"][0]["topic"])
            hub.publish([Message("loud", b"more")], 0)

    hub.publish([Message("loud", b"1"), Message("quiet", b"1")], 0)
    session = Session(hub, EVERYBODY, publisher(RecordingLink()), send)
    await session.answer('{"op":"subscribe","id":1,"filters":["loud"]}')
    await session.answer('{"op":"subscribe","id":2,"filters":["quiet"]}')
    delivering = asyncio.create_task(session.deliver())
    await until(lambda: len(delivered) > 10, "several frames")
    delivering.cancel()
    await asyncio.wait([delivering])
    assert "quiet" in delivered


async def test_frames_go_out_in_the_order_in_which_they_were_made() -> None:
    waiting: list[asyncio.Event] = []
    sent: list[str] = []

    async def send(text: str) -> None:
        """A transport that lets whoever comes in the right moment overtake who waits."""
        if "messages" in text:
            waiting.append(asyncio.Event())
            await waiting[-1].wait()
        sent.append(json.loads(text)["op"])

    hub = Hub("e1", lambda _topic: True)
    hub.publish([Message("a", b"1")], 0)
    session = Session(hub, EVERYBODY, publisher(RecordingLink()), send)
    await session.answer('{"op":"subscribe","filters":["#"]}')
    delivering = asyncio.create_task(session.deliver())
    await until(lambda: waiting, "the last values wait to be sent")
    leaving = asyncio.create_task(session.answer('{"op":"unsubscribe"}'))
    await asyncio.sleep(0.01)
    waiting[0].set()
    await leaving
    delivering.cancel()
    await asyncio.wait([delivering])
    assert sent == ["subscribed", "messages", "unsubscribed"]


async def test_a_peer_that_does_not_read_holds_one_frame_and_then_gets_the_newest() -> None:
    async with conversation(limits=HubLimits(log_messages=100)) as talk:
        await talk.ask(op="subscribe", filters=["#"])
        talk.reads.clear()
        for n in range(1000):
            talk.publish("a", str(n))
            if n % 100 == 0:
                await asyncio.sleep(0)
        talk.reads.set()
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
