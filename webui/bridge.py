"""The bridge: the web's own MQTT client, which fills the hub and tells history."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence

from broker.errors import LinkError
from broker.link import Link, Message, Subscription
from broker.topics import matches
from webui.history.history import OFF, History
from webui.hub import Hub
from webui.kept import event_topics
from webui.pacer import Pacer
from webui.presence import presence_topic

log = logging.getLogger(__name__)

SYS_FILTER = "$SYS/#"


def subscriptions(web_topics: Sequence[str], sentinel_topic: str) -> tuple[Subscription, ...]:
    """What the bridge asks the broker for.

    QoS 0: a broker drops QoS 1 for a client that is behind by a fixed count of messages, but
    lets QoS 0 wait in the connection.
    """
    filters = dict.fromkeys((*web_topics, SYS_FILTER))
    if not any(matches(topic_filter, sentinel_topic) for topic_filter in filters):
        filters[sentinel_topic] = None
    return tuple(Subscription(topic_filter) for topic_filter in filters)


class Bridge:
    """Told by its link what happens; hands every burst to the hub, and to history, as a whole.

    After the link was away, brokers replay all retained messages and only then deliver what was
    published behind the SUBSCRIBE. So a sentinel of our own, published right after it, marks
    the end of the replay: what the broker no longer holds is then known to be gone.
    `link_ups` is how often the link came up.
    """

    def __init__(
        self,
        hub: Hub,
        pacer: Pacer,
        base_topic: str,
        node: str,
        history: History = OFF,
        health_came: Callable[[bytes, int], None] = lambda _payload, _now_ms: None,
    ) -> None:
        """`health_came` is told of `bridge/health` when it comes live, and when: ms since 1970."""
        self.sentinel_topic = f"{presence_topic(base_topic, node)}/sync"
        self._base = base_topic
        self._devices_topic = f"{base_topic}/bridge/devices"
        self._health_topic = f"{base_topic}/bridge/health"
        self._health_came = health_came
        self._hub = hub
        self._pacer = pacer
        self._history = history
        self._link: Link | None = None
        self._token = b""
        self.link_ups = 0
        self._is_marked = True
        self._reason = "not connected to the broker yet"

    def attach(self, link: Link) -> None:
        """Give it the link that it publishes its sentinel over."""
        self._link = link

    def why_not_ready(self) -> str:
        """Why what browsers see may be out of date; empty when it is not."""
        return self._reason

    def link_up(self) -> None:
        self._reason = "reading the retained messages of the broker"
        self.link_ups += 1
        if self.link_ups > 1:
            self._hub.begin_resync()
            self._pacer.news()
        self._token = secrets.token_hex(8).encode()
        self._mark_end_of_replay()

    def link_down(self, _reason: str) -> None:
        self._reason = "the broker is away"

    def receive(self, messages: Sequence[Message]) -> None:
        if not self._is_marked:
            self._mark_end_of_replay()
        now_ms = time.time_ns() // 1_000_000
        last = messages[-1]  # one message of a burst is enough to look at
        if last.topic == self._health_topic and not self._reason:
            self._health_came(last.payload, now_ms)
        sentinel, devices = self.sentinel_topic, self._devices_topic
        start = 0
        for place, message in enumerate(messages):
            if message.topic == sentinel:
                self._relay(messages[start:place], now_ms)
                start = place + 1
                if message.payload == self._token:
                    self._hub.end_resync(now_ms)
                    self._reason = ""
            elif message.topic == devices:
                self._hub.keep_nothing_of(event_topics(self._base, message.payload))
        self._relay(messages[start:] if start else messages, now_ms)
        self._pacer.news()

    def _relay(self, messages: Sequence[Message], now_ms: int) -> None:
        self._hub.publish(messages, now_ms)
        self._history.take(messages, now_ms, is_replay=bool(self._reason))

    def _mark_end_of_replay(self) -> None:
        """Publish the sentinel; if that can't be now, with the next burst that comes."""
        assert self._link is not None
        try:
            # QoS 0 goes out at once; QoS 1 would wait behind all that is queued for the broker.
            self._link.publish(Message(self.sentinel_topic, self._token))
        except LinkError as error:
            if self._is_marked:
                log.warning("The replay of retained messages can't be marked yet: %s", error)
            self._is_marked = False
        else:
            self._is_marked = True
