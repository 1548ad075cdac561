"""QoS 0 messages that came one behind the other and go on together, as the bytes that they are.

What a message costs here is what a broker can do in a second, so nothing is made for one of them:
its topic is looked up, that is all. Somebody who needs them apart takes them apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from broker.native.packet import V5, Publish, Version
from broker.native.publish import decode_publish
from broker.native.routed import Routed
from broker.native.router import Routes

MAX_MESSAGES = 1_000
"""A fraction of a millisecond of looking them up, before others have their turn."""

MAX_BYTES = 64 * 1024

_FIRST_BYTE = 0x30
"""PUBLISH at QoS 0, not retained."""


class MessageRun:
    """Such messages to the same receivers; without properties, where they are MQTT 5's."""

    def __init__(self, raw: bytes, count: int, version: Version, routes: Routes[Any]) -> None:
        self.raw = raw
        """Their packets."""
        self.count = count
        self.version = version
        self.routes = routes

    @cached_property
    def packets(self) -> tuple[Publish, ...]:
        """One by one."""
        return tuple(self._apart())

    @cached_property
    def messages(self) -> tuple[Routed, ...]:
        """The same, to be sent on one by one."""
        return tuple(
            Routed.of(packet, packet.topic, self.version, _no_clock) for packet in self.packets
        )

    def _apart(self) -> Iterator[Publish]:
        raw, at = self.raw, 0
        while at < len(raw):
            body, length = at + 2, raw[at + 1]
            if length > 127:
                body, length = body + 1, length - 128 + (raw[body] << 7)
            end = body + length
            yield decode_publish(raw, at, body, end, self.version, from_client=True)
            at = end


def _no_clock() -> float:
    return math.inf  # without properties nothing expires


def run_at(
    buffer: bytes,
    start: int,
    open_topics: Mapping[bytes, Routes[Any]],
    version: Version,
    max_bytes: int,
) -> MessageRun | None:
    """The run of whole packets that begins there; None where none does.

    `open_topics` says for which topics, as bytes, there may be one, and who gets their messages.
    """
    is_5 = version is V5
    limit = min(len(buffer), start + max_bytes)
    routes, count, at = None, 0, start
    while count < MAX_MESSAGES and at + 4 < limit and buffer[at] == _FIRST_BYTE:
        body, length = at + 2, buffer[at + 1]
        if length > 127:
            high = buffer[body]
            if not 0 < high < 128:  # one so large is worth its own way; or it is malformed
                break
            body, length = body + 1, length - 128 + (high << 7)
        end, topic_at = body + length, body + 2
        topic_end = topic_at + (buffer[body] << 8) + buffer[body + 1]
        if end > limit or topic_end > end or (is_5 and (topic_end == end or buffer[topic_end])):
            break
        found = open_topics.get(buffer[topic_at:topic_end])
        if found is None or (found is not routes and count):
            break
        routes = found
        count += 1
        at = end
    return None if routes is None else MessageRun(buffer[start:at], count, version, routes)
