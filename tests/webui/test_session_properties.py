"""A session under any traffic: frames that come whole and in order, whatever the peer does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.link import Message
from tests.real_ends import until
from tests.webui.client import Follower
from tests.webui.outlet import RecordingOutlet
from tests.webui.serving import RecordingLink
from webui.hub import Hub, HubLimits
from webui.identity import EVERYBODY
from webui.pacer import Pacer
from webui.publishing import publisher
from webui.session import Session
from webui.wire import Gap, Mode

TOPICS = ("a", "a/b", "a/c", "b", "b/c/d")
FILTERS = (("#",), ("a/#",), ("+",), ("a/b", "b"), ("a/+", "b/#"), ("nothing/here",))


class Page:
    """A page with up to four subscriptions, on one connection after another."""

    def __init__(self, limits: HubLimits) -> None:
        self.hub = Hub("e1", lambda _topic: True, limits)
        self.pacer = Pacer(self.hub)
        self.history: list[tuple[int, str]] = []
        self.truth: dict[str, str] = {}
        self.followers: dict[int, Follower] = {}
        self._asked: dict[int, list[Follower | None]] = {}
        self._connect()

    def _connect(self) -> None:
        self.outlet = RecordingOutlet()
        self.outlet.on_write = self._take
        self.session = Session(self.hub, EVERYBODY, publisher(RecordingLink()), self.outlet)
        self._asks: asyncio.Queue[str] = asyncio.Queue()
        self._answering = asyncio.create_task(self._answer(self.session, self._asks))

    @staticmethod
    async def _answer(session: Session, asks: asyncio.Queue[str]) -> None:
        while True:
            await session.answer(await asks.get())

    async def disconnect(self) -> None:
        self._answering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._answering
        self.session.close()
        assert self.hub.size().channels == 0

    # --- what happens

    def publish(self, burst: list[tuple[str, str]]) -> None:
        self.hub.publish([Message(topic, payload.encode()) for topic, payload in burst], 1)
        self.pacer.news()
        for number, (topic, payload) in enumerate(burst, self.hub.seq - len(burst) + 1):
            self.history.append((number, topic))
            self.truth.pop(topic, None)
            if payload:
                self.truth[topic] = payload

    def subscribe(self, frame_id: int, filters: tuple[str, ...], mode: Mode) -> None:
        self._ask_for(Follower(self.hub, filters, mode, frame_id=frame_id))

    def _ask_for(self, wanted: Follower) -> None:
        """From now on what comes under its id is for the one before, until `subscribed`."""
        self._asked.setdefault(wanted.frame_id, []).append(wanted)
        asked = {"filters": wanted.filters, "mode": wanted.mode, "since": wanted.since}
        self._ask("subscribe", wanted.frame_id, **asked)

    def unsubscribe(self, frame_id: int) -> None:
        self._asked.setdefault(frame_id, []).append(None)
        self._ask("unsubscribe", frame_id)

    def _ask(self, op: str, frame_id: int, **rest: object) -> None:
        self._asks.put_nowait(json.dumps({"op": op, "id": frame_id, **rest}))

    async def cut(self) -> None:
        """The connection breaks: the page comes back with all that it wants, where it was."""
        await self.disconnect()
        wanted = {**self.followers}
        for frame_id, asked in self._asked.items():
            for each in asked:
                if each is None:
                    wanted.pop(frame_id, None)
                else:
                    wanted[frame_id] = each
        self.followers, self._asked = {}, {}
        self._connect()
        for frame_id, each in wanted.items():
            self._ask_for(
                Follower(
                    self.hub,
                    each.filters,
                    each.mode,
                    each.place,
                    dict(each.values),
                    each.seen,
                    frame_id,
                )
            )

    # --- what comes

    def _take(self, frame: dict[str, Any]) -> None:
        frame_id = frame.pop("id")
        op = frame.pop("op")
        match op:
            case "subscribed":
                follower = self._asked[frame_id].pop(0)
                assert follower is not None
                self.followers[frame_id] = follower
                follower.begin(frame["seq"])
            case "unsubscribed":
                assert self._asked[frame_id].pop(0) is None
                self.followers.pop(frame_id, None)
            case "gap":
                self.followers[frame_id].take_gap(Gap(frame_id, **frame))
            case "messages":
                self.followers[frame_id].take_messages(frame["messages"])
            case _:
                raise AssertionError(f"{op} {frame}")

    async def knows_all(self) -> None:
        """The peer reads; once nothing is under way, what it holds is the truth."""
        self.outlet.thaw()
        await until(lambda: not any(self._asked.values()), "every frame is answered", 5)
        await until(
            lambda: (
                all(not each.is_due for each in self.session.subscriptions())
                and all(each.cursor.is_at_end for each in self.session.subscriptions())
            ),
            "all is delivered",
            5,
        )
        for follower in self.followers.values():
            assert follower.values == {
                topic: payload for topic, payload in self.truth.items() if follower.watches(topic)
            }
            follower.skipped_nothing_silently(self.history)


Step = Callable[[Page], Awaitable[None] | None]

bursts = st.lists(
    st.tuples(st.sampled_from(TOPICS), st.sampled_from(["", "1", "2", "long " * 30])),
    min_size=1,
    max_size=6,
)
frame_ids = st.integers(0, 3)
modes: st.SearchStrategy[Mode] = st.sampled_from(["all", "latest"])


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


publishes = bursts.map(lambda burst: lambda page: page.publish(burst))
waits = st.integers(1, 5).map(lambda count: lambda _page: turns(count))
steps: st.SearchStrategy[Step] = st.one_of(
    publishes,
    publishes,
    publishes,
    waits,
    waits,
    st.tuples(frame_ids, st.sampled_from(FILTERS), modes).map(
        lambda wish: lambda page: page.subscribe(*wish)
    ),
    frame_ids.map(lambda frame_id: lambda page: page.unsubscribe(frame_id)),
    st.sampled_from([lambda page: page.outlet.freeze(), lambda page: page.outlet.thaw()]),
    st.just(Page.cut),
)
limits = st.builds(
    HubLimits,
    log_messages=st.integers(1, 30),
    channel_references=st.integers(1, 60),
    tombstones=st.integers(0, 4),
    frame_bytes=st.integers(1, 500),
)


@settings(max_examples=100)
@given(limits, st.lists(steps, min_size=20, max_size=60))
def test_after_any_traffic_a_page_holds_the_last_values_and_was_told_of_all_it_missed(
    limits: HubLimits, steps: list[Step]
) -> None:
    async def live() -> None:
        faults: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        page = Page(limits)
        try:
            page.subscribe(0, ("#",), "all")
            page.subscribe(1, ("a/#",), "latest")
            for step in steps:
                waiting = step(page)
                if waiting is not None:
                    await waiting
            await page.knows_all()
        finally:
            await page.disconnect()
            assert faults == []

    asyncio.run(live())
