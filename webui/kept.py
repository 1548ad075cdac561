"""Which topics have a last value: all but commands, receipts and other passing messages."""

from __future__ import annotations

from collections.abc import Callable

from broker.topics import matcher

_PASSING = (
    "+/set",
    "+/set/+",
    "+/get",
    "+/result",
    "+/backlog",
    "bridge/event",
    "bridge/web/+/sync",
    "bridge/request/#",
    "bridge/response/#",
)


def keeps_last_value(base_topic: str) -> Callable[[str], bool]:
    """A test whether a topic has a last value that a newcomer gets."""
    is_passing = matcher(f"{base_topic}/{below}" for below in _PASSING)
    return lambda topic: not is_passing(topic)
