"""The link: one client's connection to a broker, whichever broker that is.

`Link` is what the rest of the program sees. `connect()` gives one over paho-mqtt; the
in-process one of the native engine will have the same members.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol


class QoS(enum.IntEnum):
    """How hard a message tries to arrive [MQTT-4.3]."""

    AT_MOST_ONCE = 0
    AT_LEAST_ONCE = 1
    EXACTLY_ONCE = 2


@dataclass(frozen=True, slots=True)
class Message:
    """One application message, as published or as delivered.

    `retain` is, on a delivered message, what the broker says: with MQTT 5 we subscribe with
    Retain As Published, with 3.1.1 it is true only for the replay that follows a SUBSCRIBE.
    """

    topic: str
    payload: bytes
    qos: QoS = QoS.AT_MOST_ONCE
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Request(Message):
    """A message that asks for an answer, or is one [MQTT5-4.10].

    Where the broker and the other end speak MQTT 5; with 3.1.1 it is a message like others.
    """

    response_topic: str = ""
    """Where the answer is to go; empty in an answer."""

    correlation_data: bytes = b""
    """What the answer carries back, so that whoever asked knows what it answers."""


class LinkEvents(Protocol):
    """Who is told what a link sees. Every call comes on the event loop and must not block."""

    def link_up(self) -> None:
        """Connected; the SUBSCRIBE is on its way and all that is published now goes behind it."""

    def link_down(self, reason: str) -> None:
        """Disconnected; called once per outage, with a sentence for a person."""

    def receive(self, messages: Sequence[Message]) -> None:
        """All messages that one turn of the loop brought, in their order."""


@dataclass(frozen=True, slots=True)
class LinkTls:
    """How to trust a broker, and how to show it who we are. Paths to PEM files."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    pinned_file: str | None = None
    """The very certificate that the broker must show, whoever signed it and whatever its name."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a broker is and how to log in.

    `url` is mqtt://, mqtts://, ws:// or wss://, with host, port and, for WebSocket, a path.
    `version` is "auto" (MQTT 5, then 3.1.1), "5" or "3.1.1".
    """

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: LinkTls = field(default_factory=LinkTls)
    version: str = "auto"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A filter that a link holds, and keeps over reconnects."""

    topic_filter: str
    qos: QoS = QoS.AT_MOST_ONCE


class Link(Protocol):
    """A connection that comes back by itself, for ever, with a growing and jittered wait.

    Bounds: QoS 1 and 2 messages wait for an absent broker, up to `QUEUE_MESSAGES` and
    `QUEUE_BYTES`, and are sent in order when it is back; QoS 0 messages don't wait.
    """

    @property
    def is_up(self) -> bool: ...

    @property
    def reason(self) -> str:
        """Why the link is down, as a sentence; empty while it is up."""

    @property
    def waiting(self) -> int:
        """QoS 1 and 2 messages that the broker has not acknowledged yet."""

    def publish(self, message: Message) -> None:
        """Hand over one message.

        Raises TopicError, LinkAwayError (QoS 0 while the link is down) and LinkFullError (a
        bound is reached); after any of them nothing was taken over.
        """


class Connect(Protocol):
    """What opens a link to the broker in use: over paho, or inside the process."""

    def __call__(
        self,
        events: LinkEvents,
        *,
        role: str,
        subscriptions: Sequence[Subscription],
        will: Message | None = None,
    ) -> AbstractAsyncContextManager[Link]:
        """A link, as an async context manager; it doesn't wait for the broker."""


QUEUE_MESSAGES = 10_000
QUEUE_BYTES = 16 * 1024 * 1024
"""What a link keeps for an absent broker: minutes of a plant's states, a few MB of memory."""


def connect(
    endpoint: Endpoint,
    events: LinkEvents,
    *,
    role: str,
    subscriptions: Sequence[Subscription],
    will: Message | None = None,
) -> AbstractAsyncContextManager[Link]:
    """A link over paho-mqtt, as an async context manager; it doesn't wait for the broker.

    `role` makes the client id, `fieldgate-<role>-<random>`. On leaving, queued messages get a
    short while to go out, then a DISCONNECT is sent: the will stays unpublished, so a caller
    who wants `offline` to be seen publishes it first.
    """
    from broker.paho_link import PahoLink

    return PahoLink(endpoint, events, role=role, subscriptions=subscriptions, will=will).running()
