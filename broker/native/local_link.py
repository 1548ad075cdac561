"""A link inside the process: what paho does over TCP, without either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

from broker.link import Link, LinkEvents, Message, QoS, Request, Subscription
from broker.native.core import Core
from broker.native.message_run import MessageRun
from broker.native.properties import EMPTY, Properties
from broker.native.routed import Routed
from broker.native.router import Grant, Route
from broker.topics import check_filter, check_name

_check_name = lru_cache(maxsize=10_000)(check_name)


class LocalLink:
    """See `broker.link.Link`; always up, with nothing between it and the broker.

    What a turn of the loop brings is handed over at its end, in one burst. It has every right:
    what others may do through it is for its owner to judge.
    """

    is_present = True
    is_up = True
    reason = ""
    waiting = 0

    def __init__(self, core: Core, events: LinkEvents) -> None:
        self._core = core
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._burst: list[Message] = []

    def publish(self, message: Message) -> None:
        """See `broker.link.Link`; what was published is routed when this returns."""
        topic = _check_name(message.topic)
        properties = _properties(message) if isinstance(message, Request) else EMPTY
        routed = Routed(
            topic, message.payload, message.qos, retain=message.retain, properties=properties
        )
        self._core.publish(routed, self)

    def deliver(self, message: Routed, route: Route[Any]) -> None:
        """Take a message from the broker."""
        self._take(message, route.qos, retain=message.retain and route.retain_as_published)

    def deliver_run(self, run: MessageRun, _route: Route[Any]) -> None:
        """Take messages that came together."""
        self._hand_over_soon()
        self._burst += [Message(packet.topic, packet.payload) for packet in run.packets]

    def _hand_over_soon(self) -> None:
        if not self._burst:
            self._loop.call_soon(self._hand_over)

    def _take(self, message: Routed, granted: QoS, *, retain: bool) -> None:
        self._hand_over_soon()
        qos = min(message.qos, granted)
        if (asked := message.properties) is EMPTY or not asked.response_topic:
            self._burst.append(Message(message.topic, message.payload, qos, retain))
            return
        self._burst.append(
            Request(
                message.topic,
                message.payload,
                qos,
                retain,
                response_topic=asked.response_topic,
                correlation_data=asked.correlation_data or b"",
            )
        )

    def _hand_over(self) -> None:
        burst, self._burst = self._burst, []
        if burst:
            self._events.receive(burst)

    @asynccontextmanager
    async def running(self, subscriptions: Sequence[Subscription]) -> AsyncIterator[Link]:
        """Subscribed, until the block is left."""
        self._loop.call_soon(self._events.link_up)  # before any message
        found: dict[str, QoS] = {}
        for each in subscriptions:
            topic_filter = check_filter(each.topic_filter)
            self._core.subscribe(self, Grant(topic_filter, each.qos, retain_as_published=True))
            for topic in self._core.retained.topics(topic_filter):
                found[topic] = max(each.qos, found.get(topic, each.qos))
        for topic, granted in found.items():
            message = self._core.retained.get(topic, self._loop.time())
            if message is not None:
                self._take(message, granted, retain=True)
        try:
            yield self
        finally:
            self._core.forget(self)
            self._burst.clear()


def _properties(message: Request) -> Properties:
    return Properties(
        response_topic=message.response_topic or None,
        correlation_data=message.correlation_data or None,
    )
