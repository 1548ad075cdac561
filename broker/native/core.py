"""The broker's state: sessions, subscriptions, retained messages, wills, and who may what."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from broker.access import Action, Policy, User, Users
from broker.native.backlog import Backlog
from broker.native.batch import WillRow
from broker.native.client import Client
from broker.native.counters import Counters
from broker.native.delivery import Delivery
from broker.native.message_run import MessageRun
from broker.native.mqtt_session import MqttSession
from broker.native.packet import Will
from broker.native.reason import Reason
from broker.native.record import OFF_STORE, Store
from broker.native.retained import RetainedMessages
from broker.native.rights import Rights
from broker.native.routed import Routed, forwarded
from broker.native.router import Grant, Route, Router, Routes
from broker.native.wills import Wills
from broker.topics import FilterTrie

log = logging.getLogger(__name__)

MAX_ABSENT_SESSIONS = 10_000
"""Sessions whose clients are away; beyond it the one that left first is forgotten."""

PURGE_S = 10.0
"""How often retained messages that have expired are looked for."""

_SUCCESS, _NO_MATCHING_SUBSCRIBERS = Reason.SUCCESS, Reason.NO_MATCHING_SUBSCRIBERS


class Subscriber(Protocol):
    """Who can be routed to: an MQTT session, or a link in this process."""

    @property
    def is_present(self) -> bool: ...

    def deliver(self, message: Routed, route: Route[Any]) -> None: ...

    def deliver_run(self, run: MessageRun, route: Route[Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class Restored:
    """A session that outlived the process, and how long it is still kept; None: for ever."""

    session: MqttSession
    grants: tuple[Grant, ...]
    left_s: float | None
    will: WillRow | None = None


@dataclass(frozen=True, slots=True)
class Census:
    """What the broker holds at one moment."""

    clients: int
    """Connected ones."""
    sessions: int
    """MQTT sessions, whether their clients are connected or away."""
    subscriptions: int
    subscriptions_bytes: int
    retained: int
    waiting: int
    """Messages that clients have not acknowledged."""
    dropped: int
    """Messages not delivered, since the broker started."""


class Core:
    """Everything that outlives a connection. Lives on one event loop."""

    def __init__(
        self,
        users: Users,
        *,
        anonymous: bool,
        max_packet_bytes: int,
        max_keep_alive_s: int | None = None,
        store: Store = OFF_STORE,
        backlog: Backlog | None = None,
        counters: Counters | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.rights = Rights(users, anonymous=anonymous)
        self.max_packet_bytes = max_packet_bytes
        self.max_keep_alive_s = max_keep_alive_s
        """What MQTT 5 clients are told to keep to; None: what they say."""
        self.store = store
        self.backlog = backlog or Backlog()
        self.counters = counters or Counters()
        self.retained = RetainedMessages()
        self._router: Router[Subscriber] = Router()
        self._clients: dict[str, Client] = {}
        self._sessions: dict[str, MqttSession] = {}
        self._absent: dict[str, asyncio.TimerHandle | None] = {}
        self.wills = Wills(self._publish_will)
        self._purging = self._loop.call_later(PURGE_S, self._purge)

    # --- who may

    @property
    def policy(self) -> Policy:
        """The rules as they are now."""
        return self.rights.policy

    def judge_again(self) -> None:
        """The users or their rules have changed: end what is no longer granted.

        Subscriptions first, everybody's, so that nothing is passed on to one who is to lose it.
        """
        expelled: list[MqttSession] = []
        withdrawn: list[Delivery] = []
        for session in self._sessions.values():
            user = self.rights.user_now(session.user)
            if user is None:
                self._router.forget(session)
                expelled.append(session)
            else:
                withdrawn += self._judge(session, user)
        self._pass_on(withdrawn)
        for session in expelled:
            self._expel(session)

    def _judge(self, session: MqttSession, user: User) -> Sequence[Delivery]:
        """End what a user may no longer subscribe to; what of it others may have instead."""
        client_id = session.client_id
        session.user = user
        if (client := self._clients.get(client_id)) is not None:
            client.judge_again(user)
        revoked = [
            grant
            for grant in self._router.grants(session)
            if not self.policy.grants(user, grant.topic_filter, client_id=client_id)
        ]
        if not revoked:
            return ()
        for grant in revoked:
            self._router.unsubscribe(session, grant.topic_filter, grant.share)
            session.record.revoked(grant.topic_filter, grant.share)
        ended = _any_of(revoked)
        left = _any_of(self._router.grants(session))
        return session.withdraw(lambda topic: bool(ended.match(topic) - left.match(topic)))

    def _expel(self, session: MqttSession) -> None:
        """End the session of one who is nobody any more, and publish nothing of theirs."""
        client_id = session.client_id
        self.wills.drop(client_id)
        if (client := self._clients.get(client_id)) is not None:
            client.end(Reason.NOT_AUTHORIZED)
        self._forget(client_id)

    def restore(self, restored: Iterable[Restored], retained: Iterable[Routed]) -> Iterator[None]:
        """Take back the sessions and retained messages of an earlier life, a step at a time.

        Nobody may come before the last step.
        """
        for message in retained:
            if not self.retained.put(message):
                self.store.expired(message.topic)
            yield
        self.retained.store = self.store
        sessions: list[Restored] = []
        for each in restored:
            session = each.session
            self._sessions[session.client_id] = session
            for grant in each.grants:
                self._router.subscribe(session, grant)
            sessions.append(each)
            yield
        self.backlog.trim()
        for each in sessions:  # by the rules of now, which may have changed meanwhile
            user = self.rights.user_now(each.session.user)
            if user is None:
                self._forget(each.session.client_id)
            else:
                self._pass_on(self._judge(each.session, user))
            yield
        for each in sessions:
            if self._sessions.get(each.session.client_id) is each.session:
                self._await_return(each.session.client_id, each.left_s)
                if each.will is not None:
                    self._take_back_will(each.session, each.will, each.left_s)
            yield

    def _take_back_will(self, session: MqttSession, row: WillRow, left_s: float | None) -> None:
        """Plan a will of an earlier life; late, if it is overdue."""
        self.wills.keep(session.client_id, row.will)
        if row.due is None:  # its client was connected when the process ended
            self._plan_will(session, left_s)
        else:
            self.wills.plan(session.client_id, max(0.0, row.due - self._loop.time()))

    def new_client_id(self) -> str:
        """An id for a client that names none [MQTT-3.1.3-6]."""
        return f"auto-{secrets.token_hex(8)}"

    # --- clients come and go

    def may_take(self, client_id: str, user: User) -> bool:
        """Whether a user may have this client id: not while it is that of another's client.

        Nobody who isn't known takes what a user has; where a user's client is away, another user
        may begin a session of their own in its place, lest a changed login locks a device out.
        """
        session = self._sessions.get(client_id)
        if session is None or session.user.name in (None, user.name):
            return True
        return user.name is not None and client_id not in self._clients

    def join(
        self, client: Client, *, clean_start: bool, expiry_s: float | None, will: Will | None
    ) -> tuple[MqttSession, bool]:
        """The session of a client that is let in, and whether it was there already."""
        client_id = client.client_id
        if (other := self._clients.get(client_id)) is not None:  # [MQTT-3.1.4-3]
            other.end(Reason.SESSION_TAKEN_OVER)
        timer = self._absent.pop(client_id, None)
        if timer is not None:
            timer.cancel()
        session = self._sessions.get(client_id)
        # Another user's session is none of this client's business, whatever its id.
        if session is not None and (clean_start or session.user.name != client.user.name):
            self._forget(client_id)
            session = None
        is_present = session is not None
        if session is None:
            session = self._sessions[client_id] = MqttSession(
                client_id, client.user, backlog=self.backlog
            )
        self.wills.keep(client_id, will)  # not the one before: it is in time [MQTT5-3.1.3-9]
        session.expiry_s = expiry_s
        session.user = client.user
        session.record = self.store.joined(session)
        session.record.will_is(will)
        self._clients[client_id] = client
        self.counters.clients_maximum = max(self.counters.clients_maximum, len(self._clients))
        return session, is_present

    def left(self, client: Client, session: MqttSession) -> None:
        """A client's connection is gone, or its session was taken over."""
        session.wire = None
        client_id = client.client_id
        del self._clients[client_id]
        self._plan_will(session, session.expiry_s)
        if session.expiry_s == 0:
            self._forget(client_id)
            return
        self.store.left(session)
        self._await_return(client_id, session.expiry_s)

    def _await_return(self, client_id: str, left_s: float | None) -> None:
        """Keep the session of an absent client so long; None: for ever."""
        self._absent[client_id] = (
            None if left_s is None else self._loop.call_later(left_s, self._expire, client_id)
        )
        if len(self._absent) > MAX_ABSENT_SESSIONS:
            self.counters.sessions_forgotten += 1
            self._forget(next(iter(self._absent)))

    def _expire(self, client_id: str) -> None:
        self.counters.sessions_expired += 1
        self._forget(client_id)

    def _forget(self, client_id: str) -> None:
        """End a session, and with it the wait of its will [MQTT5-3.1.3-9]."""
        timer = self._absent.pop(client_id, None)
        if timer is not None:
            timer.cancel()
        self.wills.publish(client_id)
        session = self._sessions.pop(client_id, None)
        if session is not None:
            self._router.forget(session)
            self.store.forget(session)
            self._pass_on(session.close())
            self.counters.dropped += session.dropped

    def _pass_on(self, orphans: Iterable[Delivery]) -> None:
        """Give others of a shared subscription what one of them can't have [MQTT5-4.8.2.2]."""
        for each in orphans:
            route = None if each.share is None else self._router.member_of(each.share)
            if route is not None:
                route.receiver.deliver(each.message, route)
            else:
                self.counters.dropped += 1

    def _plan_will(self, session: MqttSession, left_s: float | None) -> None:
        """Its client is gone, and its session stays for so long; None: for ever."""
        will = self.wills.get(session.client_id)
        if will is None:
            session.record.will_is(None)
            return
        delay_s = float(will.properties.will_delay_interval_s or 0)
        if left_s is not None:
            delay_s = min(delay_s, left_s)
        session.record.will_is(will, self._loop.time() + delay_s)
        self.wills.plan(session.client_id, delay_s)

    def _publish_will(self, client_id: str, will: Will) -> None:
        session = self._sessions[client_id]
        session.record.will_is(None)
        if not self.policy.may(session.user, Action.PUBLISH, will.topic, client_id=client_id):
            return  # the rules have changed since its CONNECT
        lifetime_s = will.properties.message_expiry_interval_s
        self.publish(
            Routed(
                will.topic,
                will.payload,
                will.qos,
                retain=will.retain,
                properties=forwarded(will.properties),
                expires_at=None if lifetime_s is None else self._loop.time() + lifetime_s,
            )
        )

    # --- messages

    def publish(self, message: Routed, publisher: Subscriber | None = None) -> Reason:
        """Retain a message if it asks for that, and pass it on to everybody who wants it."""
        if message.retain:
            self.retained.put(message)  # without room it is passed on all the same, and counted
        routes = self._router.routes(message.topic)
        for route in routes.all:
            if not route.no_local or route.receiver is not publisher:
                route.receiver.deliver(message, route)
            elif route.own is not None:  # [MQTT5-3.8.3-3]
                route.receiver.deliver(message, route.own)
        for group in routes.groups:
            chosen = group.choose()
            if chosen is not None:
                chosen.receiver.deliver(message, chosen)
        if message.qos:
            message.forget_encodings()  # those who are owed it may be so for long
        if routes.all or routes.groups:
            return _SUCCESS
        return _NO_MATCHING_SUBSCRIBERS

    def _purge(self) -> None:
        self.retained.purge(self._loop.time())
        self._purging = self._loop.call_later(PURGE_S, self._purge)

    def forward(self, run: MessageRun, publisher: Subscriber) -> None:
        """Pass messages on as they came to everybody who wants them."""
        for route in run.routes.all:
            if not route.no_local or route.receiver is not publisher:
                route.receiver.deliver_run(run, route)
            elif route.own is not None:  # [MQTT5-3.8.3-3]
                route.receiver.deliver_run(run, route.own)

    def remember(self, topic: str, open_topics: dict[bytes, Routes[Any]]) -> None:
        """See `Router.remember`."""
        self._router.remember(topic, open_topics)

    def subscribe(self, subscriber: Subscriber, grant: Grant) -> bool:
        """Put a subscription in force; false if it replaces one."""
        return self._router.subscribe(subscriber, grant)

    def unsubscribe(self, subscriber: Subscriber, topic_filter: str, share: str | None) -> bool:
        """End a subscription; false if there was none."""
        return self._router.unsubscribe(subscriber, topic_filter, share)

    def holds(self, subscriber: Subscriber, grant: Grant) -> bool:
        """Whether this very subscription is in force."""
        return self._router.holds(subscriber, grant)

    def has_room(self, subscriber: Subscriber, grant: Grant) -> bool:
        """Whether a subscription may be put in force; one that finds no room is counted."""
        has_room = self._router.has_room(subscriber, grant)
        self.counters.subscriptions_refused += not has_room
        return has_room

    def forget(self, subscriber: Subscriber) -> None:
        """End all subscriptions of a link in this process."""
        self._router.forget(subscriber)

    def census(self) -> Census:
        """How much there is of everything now; costs a walk over all sessions."""
        sessions = self._sessions.values()
        return Census(
            clients=len(self._clients),
            sessions=len(sessions),
            subscriptions=self._router.count,
            subscriptions_bytes=self._router.bytes,
            retained=len(self.retained),
            waiting=self.backlog.deliveries,
            dropped=self.counters.dropped + sum(session.dropped for session in sessions),
        )

    def stop(self) -> None:
        """Say goodbye to everybody, and let no timer go on."""
        self._purging.cancel()
        for client in tuple(self._clients.values()):
            client.end(Reason.SERVER_SHUTTING_DOWN)
        self.wills.stop()
        for timer in self._absent.values():
            if timer is not None:
                timer.cancel()


def _any_of(grants: Iterable[Grant]) -> FilterTrie[None]:
    """What tells whether a topic is matched by one of these."""
    filters: FilterTrie[None] = FilterTrie()
    for grant in grants:
        filters.add(grant.topic_filter, None)
    return filters
