"""What a client subscribes to, and the retained messages that it gets for that."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from broker.native.connection import Connection
from broker.native.mqtt_session import MqttSession
from broker.native.packet import (
    Suback,
    Subscribe,
    SubscribeRequest,
    Unsuback,
    Unsubscribe,
    Version,
)
from broker.native.reason import Reason
from broker.native.replies import Replies
from broker.native.router import Grant
from broker.native.share import split_share

if TYPE_CHECKING:
    from broker.native.core import Core

MAX_REPLAYS = 20_000
"""Subscriptions whose retained messages a client waits for; beyond it no further one is granted."""

AT_ONCE = 20
"""Retained messages between two looks at the clock: some 30 µs of work."""


class Subscribing:
    """SUBSCRIBE and UNSUBSCRIBE of one connection."""

    __slots__ = ("_connection", "_core", "_planned", "_replays", "_replies", "_session")

    def __init__(
        self, core: Core, connection: Connection, session: MqttSession, replies: Replies
    ) -> None:
        self._core = core
        self._connection = connection
        self._session = session
        self._replies = replies
        self._replays: deque[Grant] = deque()
        self._planned = 0  # of them, those whose SUBACK waits for the disk included

    def subscribe(self, packet: Subscribe) -> None:
        """Put subscriptions in force, each that may be; then send what is retained for them."""
        identifiers = packet.properties.subscription_identifiers
        identifier = identifiers[0] if identifiers else None
        since = self._core.store.noted
        reasons: list[Reason] = []
        replays: list[Grant] = []
        for request in packet.requests:
            reason, grant, is_new = self._grant(request, identifier)
            reasons.append(reason)
            if (
                grant is not None
                and grant.share is None
                and (request.retain_handling == 0 or (request.retain_handling == 1 and is_new))
            ):
                replays.append(grant)
                self._planned += 1
        begin = partial(self._begin, replays) if replays else None
        self._replies.settle(Suback(packet.packet_id, tuple(reasons)), since, begin)

    def go_on(self) -> None:
        """Send more of what is retained, if that waits for what the client has acknowledged."""
        if self._connection.is_stepping:
            self._connection.go_on()

    def unsubscribe(self, packet: Unsubscribe) -> None:
        """End subscriptions, as far as there are such."""
        since = self._core.store.noted
        reasons = tuple(self._end(topic_filter) for topic_filter in packet.filters)
        answer = reasons if self._connection.version is Version.V5 else ()
        self._replies.settle(Unsuback(packet.packet_id, answer), since)

    def _grant(
        self, request: SubscribeRequest, identifier: int | None
    ) -> tuple[Reason, Grant | None, bool]:
        session = self._session
        share, topic_filter = split_share(request.filter)
        if not self._core.policy.grants(session.user, topic_filter, client_id=session.client_id):
            return Reason.NOT_AUTHORIZED, None, False
        grant = Grant(
            topic_filter,
            request.qos,
            no_local=request.no_local,
            retain_as_published=request.retain_as_published,
            identifier=identifier,
            share=share,
        )
        if self._planned >= MAX_REPLAYS or not self._core.has_room(session, grant):
            return Reason.QUOTA_EXCEEDED, None, False
        is_new = self._core.subscribe(session, grant)
        session.record.granted(grant, is_new=is_new)
        return Reason(request.qos), grant, is_new

    def _begin(self, replays: Iterable[Grant]) -> None:
        self._replays.extend(replays)
        if not self._connection.is_stepping:
            self._connection.work_off(self._replay())

    def _replay(self) -> Iterator[bool]:
        """Send the retained messages of new subscriptions, each as it is when its turn comes.

        Where many of them wait for the client's acknowledgements, the others wait for that.
        """
        session, core = self._session, self._core
        while self._replays:
            grant = self._replays.popleft()
            self._planned -= 1
            topics = core.retained.walk(grant.topic_filter)
            has_more = True
            while has_more:
                while session.is_half_full:
                    yield False
                has_more = core.holds(session, grant) and self._send_some(topics, grant)
                yield True

    def _send_some(self, topics: Iterator[str | None], grant: Grant) -> bool:
        """Send a few retained messages, as far as there is room; false if these were the last."""
        session, connection, retained = self._session, self._connection, self._core.retained
        identifiers = () if grant.identifier is None else (grant.identifier,)
        now = connection.now()
        for count, topic in enumerate(topics, 1):
            message = None if topic is None else retained.get(topic, now)
            if message is not None:
                session.deliver_retained(message, grant.qos, identifiers)
                message.forget_encodings()
            if count == AT_ONCE or session.is_half_full or not connection.has_room:
                return True
        return False

    def _end(self, requested: str) -> Reason:
        share, topic_filter = split_share(requested)
        if self._core.unsubscribe(self._session, topic_filter, share):
            self._session.record.revoked(topic_filter, share)
            return Reason.SUCCESS
        return Reason.NO_SUBSCRIPTION_EXISTED
