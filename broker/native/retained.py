"""Retained messages: the newest of each topic, bounded in count and bytes. Pure."""

from __future__ import annotations

from broker.native.record import OFF_STORE, Store
from broker.native.routed import Routed
from broker.topics import matcher

MAX_MESSAGES = 100_000
MAX_BYTES = 256 * 1024 * 1024
"""At either bound a new topic is not retained; topics that are there already still change."""


class RetainedMessages:
    """Topic → the message that a new subscriber gets first [MQTT-3.3.1-5]."""

    def __init__(self, *, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self.store: Store = OFF_STORE
        self._messages: dict[str, Routed] = {}
        self._bytes = 0
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
                self.store.retained(message)
            return True
        grown = self._bytes + message.size - (old.size if old is not None else 0)
        if grown > self._max_bytes or (old is None and len(self) >= self._max_messages):
            self.refused += 1
            return False
        self._messages[topic] = message
        self._bytes = grown
        self.store.retained(message)
        return True

    def topics(self, topic_filter: str) -> list[str]:
        """The topics that a filter matches."""
        if "+" not in topic_filter and "#" not in topic_filter:
            return [topic_filter] if topic_filter in self._messages else []
        is_match = matcher((topic_filter,))
        return [topic for topic in self._messages if is_match(topic)]

    def _remove(self, topic: str) -> None:
        self._bytes -= self._messages.pop(topic).size
