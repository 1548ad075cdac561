from __future__ import annotations

import asyncio
import json
import math
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.link import Message
from tests.real_ends import DEADLINE_S, until
from webui.hub import Hub, HubLimits
from webui.pacer import SAVED_S, SHARE, Pacer, next_round
from webui.subscription import Subscription, next_tick
from webui.wire import frame_of_messages


@given(now=st.floats(0, 1e9), rate_hz=st.floats(1e-3, 1000))
@example(now=0.0, rate_hz=1.0)
@example(now=0.1 + 0.2, rate_hz=10.0)
def test_the_next_tick_is_within_one_period_and_the_same_for_all(
    now: float, rate_hz: float
) -> None:
    tick = next_tick(now, rate_hz)
    slack = 1e-9 * max(1.0, now)
    assert now - slack <= tick <= now + 1 / rate_hz + slack
    middle = (now + tick) / 2
    if math.floor(middle * rate_hz) == math.floor(now * rate_hz):
        assert next_tick(middle, rate_hz) == tick


class Watching:
    """A subscription beside a pacer, and what it was given."""

    def __init__(self, max_rate_hz: float | None = None) -> None:
        self.hub = Hub("e1", lambda _topic: True)
        self.pacer = Pacer(self.hub)
        self.due = asyncio.Event()
        self.frames: list[list[str]] = []
        self.subscription = Subscription(
            self.hub,
            ("#",),
            render=frame_of_messages(0),
            on_due=lambda _subscription: self.due.set(),
            max_rate_hz=max_rate_hz,
        )

    def publish(self, *payloads: str) -> None:
        self.hub.publish([Message("a", payload.encode()) for payload in payloads], 0)
        self.pacer.news()

    def pull(self) -> list[list[str]]:
        while (frame := self.subscription.pull()) is not None:
            assert isinstance(frame, bytes)
            self.frames.append([each["payload"] for each in json.loads(frame)["messages"]])
        return self.frames


async def test_without_a_rate_news_is_due_at_once_and_a_burst_is_one_frame() -> None:
    watching = Watching()
    watching.pull()
    watching.publish("1", "2")
    watching.publish("3")
    assert not watching.due.is_set()
    await asyncio.wait_for(watching.due.wait(), DEADLINE_S)
    watching.pull()
    assert watching.frames == [["1", "2", "3"]]


async def test_it_is_due_until_all_is_pulled_and_says_so_once() -> None:
    told = 0

    def count(_subscription: Subscription) -> None:
        nonlocal told
        told += 1

    hub = Hub("e1", lambda _topic: True, HubLimits(frame_bytes=1))
    hub.publish([Message("a", b"1")], 0)
    pacer = Pacer(hub)
    subscription = Subscription(hub, ("#",), render=frame_of_messages(0), on_due=count)
    assert subscription.is_due, "for the last values"
    assert subscription.pull()
    assert not subscription.is_due
    for payload in (b"2", b"3"):
        hub.publish([Message("a", payload)], 0)
        pacer.news()
        await until(lambda: subscription.is_due, "a round")
    await asyncio.sleep(0.01)
    assert told == 1
    assert subscription.pull()
    assert subscription.is_due, "one frame holds one message"
    assert subscription.pull()
    assert not subscription.is_due
    assert subscription.pull() is None


async def test_with_a_rate_nothing_is_due_before_its_tick_and_then_only_the_newest() -> None:
    watching = Watching(max_rate_hz=5)
    watching.pull()
    for n in range(10):
        watching.publish(str(n))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        watching.pull()
    await until(lambda: ["9"] in watching.pull(), "the tick comes")
    shown = [payload for frame in watching.frames for payload in frame]
    assert len(shown) <= 2  # one tick may fall among the publishes


@pytest.mark.parametrize("rate_hz", [5e-324, 1e-9])
async def test_a_rate_that_is_never_due_harms_nobody(rate_hz: float) -> None:
    watching = Watching(max_rate_hz=rate_hz)
    watching.pull()
    watching.publish("1")
    await asyncio.sleep(0.05)
    watching.pull()
    assert watching.frames == []
    watching.subscription.close()


async def test_a_closed_subscription_gives_nothing_and_may_be_closed_twice() -> None:
    watching = Watching()
    watching.publish("1")
    watching.subscription.close()
    watching.subscription.close()
    watching.pull()
    assert watching.frames == []
    assert watching.hub.size().channels == 0


async def test_the_pacer_wakes_each_cursor_once_a_round() -> None:
    hub = Hub("e1", lambda _topic: True)
    pacer = Pacer(hub)
    woken: list[int] = []
    for n in range(3):
        hub.subscribe(
            ("#",),
            render=frame_of_messages(0),
            wake=lambda n=n: woken.append(n),  # type: ignore[misc]
        )
    for _ in range(5):
        hub.publish([Message("a", b"1")], 0)
        pacer.news()
    await until(lambda: woken, "a round")
    assert sorted(woken) == [0, 1, 2]
    hub.publish([Message("a", b"1")], 0)
    pacer.news()
    await until(lambda: len(woken) == 6, "another round")


async def test_after_a_round_that_took_long_the_next_one_waits() -> None:
    hub = Hub("e1", lambda _topic: True)
    pacer = Pacer(hub)
    rounds: list[float] = []
    cost_s = 0.2

    def take_long() -> None:
        rounds.append(time.monotonic())
        time.sleep(cost_s)

    hub.subscribe(("#",), render=frame_of_messages(0), wake=take_long)
    for count in (1, 2):
        hub.publish([Message("a", b"1")], 0)
        pacer.news()
        await until(lambda count=count: len(rounds) == count, "a round")  # type: ignore[misc]
        await asyncio.sleep(0)
    assert rounds[1] - rounds[0] >= cost_s / SHARE - SAVED_S - 0.002


async def test_a_cursor_that_leaves_while_others_are_woken_harms_nobody() -> None:
    hub = Hub("e1", lambda _topic: True)
    pacer = Pacer(hub)
    woken: list[str] = []
    first = hub.subscribe(("#",), render=frame_of_messages(0), wake=lambda: leave("second"))
    second = hub.subscribe(("#",), render=frame_of_messages(0), wake=lambda: leave("first"))
    cursors = {"first": first.cursor, "second": second.cursor}

    def leave(other: str) -> None:
        woken.append(other)
        hub.unsubscribe(cursors[other])

    hub.publish([Message("a", b"1")], 0)
    pacer.news()
    await until(lambda: woken, "a round")
    await asyncio.sleep(0.01)
    assert hub.size().channels == 0


@given(
    gaps_s=st.lists(st.floats(0, 0.1), min_size=1, max_size=50),
    costs_s=st.lists(st.floats(1e-6, 0.05), min_size=50, max_size=50),
)
def test_rounds_take_no_more_than_their_share_but_for_what_was_saved_up(
    gaps_s: list[float], costs_s: list[float]
) -> None:
    """Whenever there is news, a round begins as early as it may, or later."""
    now = began = 1000.0
    not_before = spent = 0.0
    for gap_s, cost_s in zip(gaps_s, costs_s, strict=False):
        now = max(now + gap_s, not_before)
        assert spent <= SHARE * (now - began + SAVED_S) + 1e-6
        not_before = next_round(not_before, now, cost_s)
        spent += cost_s
        now += cost_s


def test_a_round_after_a_quiet_time_may_begin_at_once() -> None:
    not_before = next_round(0.0, 1000.0, 0.001)
    assert not_before < 1000.0
    assert next_round(not_before, 1000.0, 0.1) > 1000.1
