"""A client that follows the protocol, for tests of the hub: what it holds, and what it was told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from broker.topics import matches
from webui.hub import Hub
from webui.wire import Gap, Mode, frame_of_messages


def matching(filters: Iterable[str], topic: str) -> bool:
    """Whether one of these filters matches, by the reference."""
    return any(matches(topic_filter, topic) for topic_filter in filters)


def content_of(frame: bytes) -> bytes:
    """What a server's whole, unmasked text frame holds [RFC 6455 5.2]."""
    first, size = frame[:2]
    assert first == 0x81, "one text frame, no extensions"
    assert size < 128, "a server doesn't mask"
    start = 2 + {126: 2, 127: 8}.get(size, 0)
    declared = size if start == 2 else int.from_bytes(frame[2:start], "big")
    assert len(frame) == start + declared
    return frame[start:]


@dataclass(eq=False)
class Follower:
    """What a page knows by one subscription, if it does what the protocol says.

    `base` is the seq behind which every message is either delivered or counted as missed; after
    a gap that counts nothing (`is_exact` is False then), at most as many are missing as are gone.
    """

    hub: Hub
    filters: tuple[str, ...]
    mode: Mode = "all"
    since: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    seen: int | None = None
    frame_id: int = 0

    def __post_init__(self) -> None:
        self.delivered: list[int] = []
        self.gaps: list[Gap] = []
        self.received = 0
        self.missed = 0
        self.is_exact = True
        self.base = self.began = 0
        if self.since is None:
            self.values, self.seen = {}, None

    def begin(self, seq: int) -> None:
        """The server says that the subscription stands, and at which seq it was then."""
        self.began = seq
        is_resume = self.since not in (None, "now")
        self.base = int(str(self.since).rpartition("-")[2]) if is_resume else seq

    @property
    def place(self) -> str | None:
        """Where it would go on, on another connection."""
        return None if self.seen is None else f"{self.hub.epoch}-{self.seen}"

    def take_gap(self, gap: Gap) -> None:
        self.gaps.append(gap)
        if gap.reset:
            assert gap.missed is None
            self.values.clear()
            self.seen = None
            self.delivered.clear()
            self.missed = 0
            self.is_exact = True
            self.base = self.hub.seq if gap.reason == "slow" else self.began
        elif gap.missed is not None:
            assert gap.reason == "slow", "only of what the hub itself skipped it knows how much"
            assert gap.missed >= 0
            self.missed += gap.missed
        elif gap.reason != "link":
            assert gap.reason == "resume", "the hub knows how much it skipped"
            self.is_exact = False

    def take_messages(self, messages: Sequence[dict[str, Any]]) -> None:
        assert messages, "a frame without messages"
        self.received += len(messages)
        for message in messages:
            self._take_message(message)

    def _take_message(self, message: dict[str, Any]) -> None:
        topic, seq = message["topic"], message["seq"]
        assert matching(self.filters, topic)
        assert self.seen is None or seq > self.seen, "out of order, or twice"
        self.seen = seq
        if seq > self.base:
            self.delivered.append(seq)
        if message.get("gone"):
            assert message["payload"] == ""
            assert "last" not in message
            self.values.pop(topic, None)
        else:
            self.values[topic] = message["payload"]

    def skipped_nothing_silently(self, history: Iterable[tuple[int, str]]) -> None:
        """Once all has come: what of the history was not delivered is counted as missed."""
        if self.mode != "all":
            return
        expected = {seq for seq, topic in history if seq > self.base and self.watches(topic)}
        assert set(self.delivered) <= expected
        skipped = len(expected) - len(self.delivered)
        if self.is_exact:
            assert self.missed == skipped
        else:
            assert self.missed <= skipped

    def watches(self, topic: str) -> bool:
        return matching(self.filters, topic)


@dataclass(eq=False)
class Client(Follower):
    """One that pulls from the hub itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.woken = 0
        self.frames: list[bytes] = []
        self.welcome = self.hub.subscribe(
            self.filters,
            render=frame_of_messages(self.frame_id),
            wake=self._wake,
            frame_id=self.frame_id,
            mode=self.mode,
            since=self.since,
        )
        self.begin(self.welcome.seq)

    def pull(self) -> Gap | list[dict[str, Any]] | None:
        """Take one thing, and do what the protocol says."""
        cursor = self.welcome.cursor
        was_at_end = cursor.is_at_end
        taken = cursor.pull()
        assert taken is None or not was_at_end, "there was something left"
        assert cursor.is_at_end or taken is not None, "there was nothing left"
        if isinstance(taken, Gap):
            self.take_gap(taken)
            return taken
        if taken is None:
            return None
        self.frames.append(taken)
        frame = json.loads(taken)
        assert frame["op"] == "messages"
        assert frame["id"] == self.frame_id
        messages: list[dict[str, Any]] = frame["messages"]
        self.take_messages(messages)
        return messages

    def pull_all(self) -> None:
        for _ in range(100_000):
            if self.pull() is None:
                return
        raise AssertionError("a cursor that never comes to its end")

    def resumed(self) -> Client:
        """The same client on a new connection, from the last message that it saw."""
        self.close()
        return Client(self.hub, self.filters, self.mode, self.place, dict(self.values), self.seen)

    def close(self) -> None:
        self.hub.unsubscribe(self.welcome.cursor)

    def _wake(self) -> None:
        self.woken += 1
