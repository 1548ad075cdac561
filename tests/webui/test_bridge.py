from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import httpx
import pytest

from broker import link
from broker.access import NoUsers, Tokens
from broker.config import BrokerConfig
from broker.errors import LinkFullError
from broker.link import Connect, Endpoint, Link, Message, QoS
from broker.listen import listen
from broker.serving import serving
from tests.browser_session import BrowserSession, browsing
from tests.real_ends import DEADLINE_S, mosquitto, until
from tests.webui.client import matching
from tests.webui.serving import RecordingLink
from webui.bridge import Bridge, subscriptions
from webui.door import Door
from webui.history.history import OFF, History, OffHistory
from webui.hub import Hub
from webui.kept import keeps_last_value
from webui.pacer import Pacer
from webui.role import serving_web
from webui.wire import payload_of

# --- the bridge alone


class Bridged:
    """A bridge between a hub and a link that records."""

    def __init__(self, past: History = OFF) -> None:
        self.hub = Hub("e1", keeps_last_value("fieldgate"))
        self.link = RecordingLink()
        self.bridge = Bridge(self.hub, Pacer(self.hub), "fieldgate", "n1", past)
        self.bridge.attach(self.link)

    def replay(self, *messages: Message) -> None:
        """All that a broker sends after a SUBSCRIBE, in one burst with the sentinel."""
        self.bridge.receive([*messages, self.link.published[-1]])

    def values(self) -> dict[str, str]:
        return {entry.topic: payload_of(entry).decode() for entry in self.hub.last_values("#")}


def retained(topic: str, payload: str) -> Message:
    return Message(topic, payload.encode(), retain=True)


async def test_it_is_ready_when_the_replay_has_ended_and_not_before() -> None:
    bridged = Bridged()
    assert bridged.bridge.why_not_ready()
    bridged.bridge.link_up()
    bridged.bridge.receive([retained("a", "1")])
    assert bridged.bridge.why_not_ready()
    bridged.replay()
    assert bridged.bridge.why_not_ready() == ""
    assert bridged.values() == {"a": "1"}
    bridged.bridge.link_down("it broke")
    assert bridged.bridge.why_not_ready() == "the broker is away"


async def test_the_sentinel_of_an_earlier_connection_ends_nothing() -> None:
    bridged = Bridged()
    bridged.bridge.link_up()
    stale = bridged.link.published[-1]
    bridged.bridge.link_down("it broke")
    bridged.bridge.link_up()
    bridged.bridge.receive([retained("a", "1"), stale])
    assert bridged.bridge.why_not_ready()
    bridged.replay()
    assert bridged.bridge.why_not_ready() == ""
    assert bridged.values() == {"a": "1"}


async def test_what_comes_behind_the_sentinel_in_a_burst_is_live() -> None:
    bridged = Bridged()
    bridged.bridge.link_up()
    bridged.replay(retained("a", "1"), retained("b", "1"))
    bridged.bridge.link_up()
    sentinel = bridged.link.published[-1]
    bridged.bridge.receive([retained("b", "1"), sentinel, Message("a", b"2"), Message("c", b"1")])
    assert bridged.values() == {"a": "2", "b": "1", "c": "1"}
    assert bridged.hub.seq == 5  # a and b, then a gone, a and c


async def test_a_link_that_is_full_when_it_comes_up_does_not_leave_it_unready() -> None:
    bridged = Bridged()
    bridged.link.trouble = LinkFullError("it is full")
    bridged.bridge.link_up()
    bridged.bridge.receive([retained("a", "1")])
    assert bridged.bridge.why_not_ready()
    bridged.link.trouble = None
    bridged.bridge.receive([Message("a", b"2")])
    bridged.replay()
    assert bridged.bridge.why_not_ready() == ""


async def test_the_sentinel_does_not_wait_behind_what_is_queued_for_the_broker() -> None:
    bridged = Bridged()
    bridged.bridge.link_up()
    assert bridged.link.published[-1].qos is QoS.AT_MOST_ONCE


async def test_the_sentinels_of_other_nodes_are_no_last_values() -> None:
    bridged = Bridged()
    bridged.bridge.link_up()
    bridged.replay(Message("fieldgate/bridge/web/n2/sync", b"0123"))
    assert bridged.values() == {}


class Past(OffHistory):
    """History that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__("it keeps bursts")
        self.heard: list[tuple[str, bool]] = []

    def take(self, messages: Sequence[Message], time_ms: int, *, is_replay: bool) -> None:
        assert time_ms > 0
        self.heard += ((message.payload.decode(), is_replay) for message in messages)


async def test_history_hears_all_and_knows_what_may_be_replayed() -> None:
    past = Past()
    bridged = Bridged(past)
    for _ in range(2):
        bridged.bridge.link_up()
        sentinel = bridged.link.published[-1]
        bridged.bridge.receive([Message("a", b"old", retain=True)])
        bridged.bridge.receive([Message("a", b"last"), sentinel, Message("a", b"live")])
        bridged.bridge.receive([Message("a", b"more", retain=True)])
        bridged.bridge.link_down("it broke")
    once = [("old", True), ("last", True), ("live", False), ("more", False)]
    assert past.heard == [*once, *once]


@pytest.mark.parametrize(
    ("topics", "filters"),
    [
        (["#"], ["#", "$SYS/#"]),
        (["a/#"], ["a/#", "$SYS/#", "fieldgate/bridge/web/n1/sync"]),
        (["fieldgate/#", "$SYS/#"], ["fieldgate/#", "$SYS/#"]),
    ],
)
def test_it_subscribes_to_what_is_configured_and_to_its_sentinel(
    topics: list[str], filters: list[str]
) -> None:
    wanted = subscriptions(topics, "fieldgate/bridge/web/n1/sync")
    assert [each.topic_filter for each in wanted] == filters


@pytest.mark.parametrize(
    ("topic", "is_kept"),
    [
        ("fieldgate/boiler", True),
        ("fieldgate/boiler/temperature", True),
        ("fieldgate/boiler/set", False),
        ("fieldgate/boiler/set/pump", False),
        ("fieldgate/boiler/get", False),
        ("fieldgate/boiler/result", False),
        ("fieldgate/boiler/backlog", False),
        ("fieldgate/bridge/event", False),
        ("fieldgate/bridge/request/restart", False),
        ("fieldgate/bridge/response/restart", False),
        ("fieldgate/bridge/state", True),
        ("fieldgate/bridge/web/n1", True),
        ("other/boiler/set", True),
        ("$SYS/broker/uptime", True),
    ],
)
def test_passing_messages_have_no_last_value(topic: str, is_kept: bool) -> None:
    assert keeps_last_value("fieldgate")(topic) is is_kept


async def test_a_press_of_a_button_is_no_last_value_once_the_gateway_said_what_it_is() -> None:
    bridged = Bridged()
    devices = {"devices": [{"name": "b", "points": {"key": {"type": "event"}, "t": {"unit": "K"}}}]}
    bridged.bridge.receive([Message("fieldgate/b/t", b"1"), Message("fieldgate/b/key", b"1")])
    assert bridged.values().keys() == {"fieldgate/b/t", "fieldgate/b/key"}
    bridged.bridge.receive([retained("fieldgate/bridge/devices", json.dumps(devices))])
    seq = bridged.hub.seq
    bridged.bridge.receive([Message("fieldgate/b/t", b"2"), Message("fieldgate/b/key", b"2")])
    assert bridged.hub.seq == seq + 2, "both are delivered"
    assert bridged.values()["fieldgate/b/t"] == "2"
    assert bridged.values()["fieldgate/b/key"] == "1"


@pytest.mark.parametrize("devices", ["", "[]", "no JSON", '{"devices": 5}', '{"devices": [{}]}'])
async def test_a_list_of_devices_that_is_none_names_no_events(devices: str) -> None:
    bridged = Bridged()
    bridged.bridge.receive([retained("fieldgate/bridge/devices", devices)])
    bridged.bridge.receive([Message("fieldgate/b/key", b"1")])
    assert bridged.values()["fieldgate/b/key"] == "1"


# --- with a real broker


@contextlib.asynccontextmanager
async def a_broker(place: str, folder: Path) -> AsyncIterator[Connect]:
    """A way to a broker that runs in this process, or as a process of its own."""
    if place == "inside":
        async with serving(BrokerConfig(listeners=["mqtt://127.0.0.1:0"])) as inside:
            yield inside.connect
    else:
        with mosquitto(folder) as outside:
            yield partial(link.connect, Endpoint(outside.url))


either_place = pytest.mark.parametrize("place", ["inside", "outside"])


@contextlib.asynccontextmanager
async def relaying(way: Connect) -> AsyncIterator[str]:
    """The whole web role behind a real broker; yields the page's URL."""
    (listening,) = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with serving_web(
        way,
        [listening],
        users=NoUsers(),
        tokens=Tokens(),
        door=Door(anybody=True),
        base_topic="fieldgate",
        topics=["#"],
        node="n1",
        version="1.2.3",
    ):
        yield url


async def is_ready(http: httpx.AsyncClient, status: int = 200) -> None:
    end = time.monotonic() + DEADLINE_S
    while (await http.get("/health/ready")).status_code != status:
        assert time.monotonic() < end, f"not within {DEADLINE_S} s: /health/ready says {status}"


class NoEvents:
    """A link's events that nobody listens to."""

    def link_up(self) -> None: ...
    def link_down(self, _reason: str) -> None: ...
    def receive(self, _messages: Sequence[Message]) -> None: ...


@contextlib.asynccontextmanager
async def client_of(way: Connect) -> AsyncIterator[Link]:
    async with way(NoEvents(), role="test", subscriptions=()) as connection:
        await until(lambda: connection.is_up, "connected")
        yield connection


@either_place
async def test_what_one_browser_publishes_comes_to_another(place: str, tmp_path: Path) -> None:
    async with (
        a_broker(place, tmp_path) as way,
        relaying(way) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        await is_ready(http)
        async with browsing(url, "a/#") as reader, browsing(url) as writer:
            await reader.until(lambda: reader.answers, "subscribed")
            await writer.send(op="publish", id=1, topic="a/b", payload="é", qos=1, retain=True)
            await writer.send(op="publish", id=2, topic="a/c", payload="/wA=", base64=True)
            await writer.until(lambda: len(writer.answers) == 2, "both answers")
            await reader.until(lambda: len(reader.values) == 2, "both messages")
            assert reader.values == {"a/b": "é", "a/c": "/wA="}
            assert [each.get("base64") for each in reader.messages] == [None, True]
            assert reader.messages[0]["retain"] is True


@either_place
async def test_thousands_of_retained_messages_all_come(place: str, tmp_path: Path) -> None:
    count = 3000
    async with a_broker(place, tmp_path) as way:
        async with client_of(way) as publisher:
            for n in range(count):
                publisher.publish(Message(f"r/{n}", b"x" * 200, QoS.AT_LEAST_ONCE, retain=True))
        async with relaying(way) as url, httpx.AsyncClient(base_url=url) as http:
            await is_ready(http)
            page = (await http.get("/api/topics?filter=r/%23&limit=10000")).json()
    assert len(page["topics"]) == count


@either_place
async def test_sessions_with_any_filters_hold_the_last_values_and_every_message_in_order(
    place: str, tmp_path: Path
) -> None:
    chance = random.Random(20_261_121)
    topics = [f"{above}/{below}" for above in "xyz" for below in "123"]
    sent: list[tuple[str, str]] = []

    async def say(device: Link) -> None:
        for number in range(200):
            topic, payload = chance.choice(topics), f"{len(sent)}" if chance.random() < 0.9 else ""
            sent.append((topic, payload))
            device.publish(Message(topic, payload.encode(), QoS.AT_LEAST_ONCE, retain=True))
            if number % 10 == 0:
                await asyncio.sleep(0.001)

    async def watch(url: str, *filters: str) -> None:
        async with browsing(url, *filters) as browser:
            await browser.until(lambda: browser.answers, "subscribed")
            before = len(sent)
            await until(lambda: len(sent) == 200 * rounds, "all is said")
            theirs = [each for each in sent if matching(filters, each[0])]
            newest = {topic: payload for topic, payload in dict(theirs).items() if payload}
            await browser.until(lambda: browser.values == newest, "the last values")
            live = [
                (each["topic"], each["payload"]) for each in browser.messages if "last" not in each
            ]
            assert live == theirs[len(theirs) - len(live) :]
            assert len(live) >= sum(matching(filters, topic) for topic, _ in sent[before:])
            assert browser.gaps == []

    every = (["x/#", "y/#", "z/#"], ["x/#"], ["+/1"], ["x/1", "y/+"], ["z/3"])
    rounds = len(every) + 1
    async with (
        a_broker(place, tmp_path) as way,
        relaying(way) as url,
        httpx.AsyncClient(base_url=url) as http,
        client_of(way) as device,
    ):
        await is_ready(http)
        async with asyncio.TaskGroup() as browsers:
            for filters in every:
                await say(device)
                browsers.create_task(watch(url, *filters))
            await say(device)


async def test_a_broker_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        way = partial(link.connect, Endpoint(broker.url))
        async with relaying(way) as url, httpx.AsyncClient(base_url=url) as http:
            await is_ready(http)
            async with browsing(url, "#") as browser:
                async with client_of(way) as publisher:
                    publisher.publish(Message("old", b"1", QoS.AT_LEAST_ONCE, retain=True))
                    await browser.until(lambda: "old" in browser.values, "it is there")
                broker.kill()
                await is_ready(http, 503)
                body = {"topic": "new/0", "payload": "1"}
                at_most = await http.post("/api/publish", json=body)
                at_least = await http.post("/api/publish", json=body | {"topic": "new/1", "qos": 1})
                broker.start()
                await is_ready(http)
                await browser.until(lambda: "new/1" in seen(browser), "what was accepted comes")
                await browser.until(lambda: "old" not in browser.values, "what is lost is gone")
    assert (at_most.status_code, at_most.json()["error"]["code"]) == (503, "unavailable")
    assert at_least.status_code == 202
    assert [gap["reason"] for gap in browser.gaps] == ["link"]
    assert "new/0" not in seen(browser)


def seen(browser: BrowserSession) -> set[str]:
    return {message["topic"] for message in browser.messages}
