"""Two gateways on one base topic would overwrite each other: how one finds out. Pure.

Before it publishes, and each time the link is back, a gateway asks on `bridge/request/ping`. It
hears its own question, too, and what the broker retains comes before that; so if no `online` was
retained by then there is nobody. Otherwise it gives the other two seconds to answer.
"""

from __future__ import annotations

import enum
import json
from typing import Any

from broker.link import Message, QoS

PATIENCE_TICKS = 2
"""Seconds that another gateway has to answer."""


class Verdict(enum.Enum):
    """What is known of other gateways on our base."""

    ASKING = enum.auto()
    ALONE = enum.auto()
    RIVAL = enum.auto()


class Rivalry:
    """The conversation between gateways that claim the same base topic.

    Of two, one goes on: the one that was there before; where both were, and lost the broker
    together, or neither was, the one with the lower instance. Whoever hears the other's question
    knows which, and answers it or yields, so it is enough that one of them hears the other.
    """

    def __init__(self, base_topic: str, instance: str) -> None:
        self.instance = instance
        self.verdict = Verdict.ASKING
        self.rival = ""
        self._state_topic = f"{base_topic}/bridge/state"
        self._request_topic = f"{base_topic}/bridge/request/ping"
        self._response_topic = f"{base_topic}/bridge/response/ping"
        self._is_established = False
        self._saw_online = False
        self._ticks_left = 0

    def question(self) -> Message:
        """The question to publish behind the SUBSCRIBE; starts the wait for answers."""
        if self.verdict is not Verdict.RIVAL:
            self.verdict = Verdict.ASKING
        self._saw_online = False
        self._ticks_left = PATIENCE_TICKS
        return _json(
            self._request_topic,
            {
                "transaction": self.instance,
                "instance": self.instance,
                "established": self._is_established,
            },
        )

    def receive(self, message: Message) -> Message | None:
        """Take note of a message; what comes back is our answer to another's question."""
        if message.topic == self._state_topic:
            self._saw_online |= _parsed(message.payload).get("state") == "online"
        elif message.topic == self._request_topic:
            if not message.retain:  # nobody of ours retains one: who asked it may be long gone
                return self._hear_question(_parsed(message.payload))
        elif message.topic == self._response_topic:
            self._hear_answer(_parsed(message.payload))
        return None

    def tick(self) -> None:
        """A second has passed."""
        if self.verdict is Verdict.ASKING and self._ticks_left:
            self._ticks_left -= 1
            if not self._ticks_left:
                self._establish()

    def _hear_question(self, question: dict[str, Any]) -> Message | None:
        asker = question.get("instance")
        if asker == self.instance:
            if self.verdict is Verdict.ASKING and not self._saw_online:
                self._establish()
            return None
        if isinstance(asker, str) and self._outranked_by(
            asker, question.get("established") is True
        ):
            self.verdict, self.rival = Verdict.RIVAL, asker
        if self.verdict is Verdict.RIVAL:
            return None
        return _json(
            self._response_topic,
            {
                "transaction": question.get("transaction"),
                "status": "ok",
                "instance": self.instance,
                "error": None,
            },
        )

    def _outranked_by(self, other: str, is_established: bool) -> bool:
        if is_established is not self._is_established:
            return is_established
        return other < self.instance

    def _hear_answer(self, answer: dict[str, Any]) -> None:
        other = answer.get("instance")
        is_for_us = answer.get("transaction") == self.instance
        if is_for_us and isinstance(other, str) and other != self.instance:
            self.verdict, self.rival = Verdict.RIVAL, other

    def _establish(self) -> None:
        self.verdict = Verdict.ALONE
        self._is_established = True


def _json(topic: str, value: object) -> Message:
    return Message(topic, json.dumps(value).encode(), QoS.AT_LEAST_ONCE)


def _parsed(payload: bytes) -> dict[str, Any]:
    """A JSON object, or an empty one for anything else that somebody may publish there."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
