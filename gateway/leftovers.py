"""Retained topics of devices that the config no longer has: found at start, and cleared. Pure.

The retained `bridge/devices` of the run before tells which there were, so nothing is cleared that
was not ours.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator

from broker.link import Message, QoS, Subscription

log = logging.getLogger(__name__)

MAX_BYTES = 4 * 1024 * 1024
"""Of a list of devices that is looked through; ours stay far below."""


class Leftovers:
    """Remembers what the broker held when the link came up."""

    def __init__(self, base_topic: str, devices: Collection[str]) -> None:
        self._base = base_topic
        self._topic = f"{base_topic}/bridge/devices"
        self._devices = frozenset(devices)
        self._before: bytes | None = None
        self._is_collecting = True

    def subscriptions(self) -> tuple[Subscription, ...]:
        """What it listens to."""
        return (Subscription(self._topic, QoS.AT_LEAST_ONCE),)

    def begin(self) -> None:
        """The link is up: what the broker holds comes now."""
        self._is_collecting = True
        self._before = None

    def receive(self, message: Message) -> bool:
        """Take a message if it is the list of devices."""
        if message.topic != self._topic:
            return False
        if self._is_collecting:
            self._before = message.payload[: MAX_BYTES + 1]
        return True

    def clearing(self) -> Iterator[Message]:
        """What makes the broker forget them; once after each `begin`."""
        before, self._before, self._is_collecting = self._before, None, False
        for name, points in _devices(before):
            if name in self._devices:
                continue
            log.info("%s is no longer in the config: its retained topics are cleared", name)
            for below in ("", "/availability", *(f"/{point}" for point in points)):
                yield Message(f"{self._base}/{name}{below}", b"", QoS.AT_LEAST_ONCE, retain=True)


def _devices(payload: bytes | None) -> Iterator[tuple[str, list[str]]]:
    if not payload or len(payload) > MAX_BYTES:
        return
    try:
        devices = json.loads(payload)["devices"]
        found = [(device["name"], list(device["points"])) for device in devices]
    except (ValueError, LookupError, TypeError, RecursionError):
        return  # somebody else's
    for name, points in found:
        if all(isinstance(level, str) and _is_level(level) for level in (name, *points)):
            yield name, points


def _is_level(text: str) -> bool:
    return bool(text) and text != "bridge" and not any(mark in text for mark in "/+#\0")
