"""Retained messages: the newest of each topic, bounded in count and bytes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from broker.native.record import OFF_STORE, Store
from broker.native.routed import Routed

MAX_MESSAGES = 100_000
MAX_BYTES = 256 * 1024 * 1024
"""At either bound a new topic is not retained, and one that is there and grows no longer is."""

LEVEL_BYTES = 250
"""What a level of a topic costs beside its name, about, where no other topic shares it."""

MAX_PURGED = 1000
"""Expired messages that are forgotten at once, about a millisecond of work."""


class RetainedMessages:
    """Topic → the message that a new subscriber gets first [MQTT-3.3.1-5]."""

    def __init__(self, *, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self.store: Store = OFF_STORE
        self._messages: dict[str, Routed] = {}
        self._root = _Level()
        self._expiries: list[tuple[float, str]] = []  # a heap; some are of older messages
        self.bytes = 0
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self.refused = 0
        """How often there was no room."""

    def __len__(self) -> int:
        return len(self._messages)

    def get(self, topic: str, now: float) -> Routed | None:
        """The message of a topic, unless it has expired."""
        message = self._messages.get(topic)
        if message is not None and message.is_expired(now):
            self._remove(topic)
            self.store.expired(topic)
            return None
        return message

    def put(self, message: Routed) -> bool:
        """Keep a message; an empty payload clears its topic. False if there is no room."""
        topic = message.topic
        old = self._messages.get(topic)
        if not message.payload:  # [MQTT-3.3.1-6]
            if old is not None:
                self._remove(topic)
                self.store.retained(message, is_new=False)
            return True
        grown = self.bytes + message.size
        grown += _names_bytes(topic) if old is None else -old.size
        if grown > self._max_bytes or (old is None and len(self) >= self._max_messages):
            self.refused += 1
            if old is not None:
                self._remove(topic)
                self.store.expired(topic)
            return False
        self._messages[topic] = message
        self.bytes = grown
        if old is None:
            self._root.add(topic)
        if message.expires_at is not None:
            self._will_expire(message.expires_at, topic)
        self.store.retained(message, is_new=old is None)
        return True

    def purge(self, now: float) -> None:
        """Forget what has expired, a bounded part of it at once."""
        for _ in range(MAX_PURGED):
            if not self._expiries or self._expiries[0][0] > now:
                return
            _, topic = heappop(self._expiries)
            self.get(topic, now)

    def topics(self, topic_filter: str) -> Iterator[str]:
        """The topics that a filter matches; they may change meanwhile."""
        return (topic for topic in self.walk(topic_filter) if topic is not None)

    def walk(self, topic_filter: str) -> Iterator[str | None]:
        """The same a step at a time, with None for a step that finds nothing."""
        if "+" not in topic_filter and "#" not in topic_filter:
            return iter([topic_filter] if topic_filter in self._messages else [])
        return self._root.walk(topic_filter.split("/"))

    def _remove(self, topic: str) -> None:
        self.bytes -= self._messages.pop(topic).size + _names_bytes(topic)
        self._root.discard(topic)

    def _will_expire(self, at: float, topic: str) -> None:
        heappush(self._expiries, (at, topic))
        if len(self._expiries) > 2 * len(self._messages) + 100:
            self._expiries = [
                (each.expires_at, each.topic)
                for each in self._messages.values()
                if each.expires_at is not None
            ]
            heapify(self._expiries)


def _names_bytes(topic: str) -> int:
    return LEVEL_BYTES * (topic.count("/") + 1)


class _Level:
    """The topics below one level: a filter costs what it can match, not what there is."""

    __slots__ = ("below", "topic")

    def __init__(self) -> None:
        self.below: dict[str, _Level] = {}
        self.topic: str | None = None

    def add(self, topic: str) -> None:
        level = self
        for name in topic.split("/"):
            below = level.below.get(name)
            if below is None:
                below = level.below[name] = _Level()
            level = below
        level.topic = topic

    def discard(self, topic: str) -> None:
        path = [self]
        names = topic.split("/")
        for name in names:
            path.append(path[-1].below[name])
        path[-1].topic = None
        for parent, name in zip(reversed(path[:-1]), reversed(names), strict=True):
            below = parent.below[name]
            if below.below or below.topic is not None:
                return
            del parent.below[name]

    def walk(self, wanted: list[str]) -> Iterator[str | None]:
        stack = [(self, 0)]
        while stack:
            level, depth = stack.pop()
            if depth == len(wanted):
                yield level.topic
                continue
            name = wanted[depth]
            if name == "#":
                yield level.topic  # a/# matches a, too
                for below in reversed(level.all_below(with_reserved=level is not self)):
                    yield from below.everything()
            elif name == "+":
                yield None
                stack.extend(
                    (below, depth + 1) for below in level.all_below(with_reserved=depth > 0)
                )
            elif name in level.below:
                stack.append((level.below[name], depth + 1))

    def everything(self) -> Iterator[str | None]:
        """A step for this level and for each below it."""
        stack = [self]
        while stack:
            level = stack.pop()
            yield level.topic
            if level.below:
                stack.extend(reversed(level.below.values()))

    def all_below(self, *, with_reserved: bool) -> list[_Level]:
        """The next levels, last first; those with $ only if asked for [MQTT-4.7.2-1]."""
        levels = [
            below for name, below in self.below.items() if with_reserved or not name.startswith("$")
        ]
        levels.reverse()
        return levels
