"""Presence: how many watch this web server, and who, told to everybody over MQTT."""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from typing import Literal

import msgspec

from broker.link import Link, Message, QoS
from webui.event import event_message, iso_time, published
from webui.roster import OpenSession, Roster, Transport

PERIOD_S = 1.0
"""How often at most it says anything."""

MAX_USERS = 100
"""So many names it tells; `sessions` counts all."""

MAX_EVENTS = 50
"""Sessions that came or went in one period and are told one by one; of more only the count."""

MAX_NODE_CHARACTERS = 64

log = logging.getLogger(__name__)


class Presence(msgspec.Struct, frozen=True):
    """`<base>/bridge/web/<node>`: who is here. Whoever has no name is in `sessions` alone."""

    state: Literal["online", "offline"]
    sessions: int = 0
    users: list[str] = []


class SessionEvent(msgspec.Struct, frozen=True):
    """One on `<base>/bridge/event`: a session came or went. `time` is ISO 8601, UTC.

    `user` null is nobody known, or a program with a `token`, whose name this is.
    """

    type: Literal["session_opened", "session_closed"]
    time: str
    node: str
    session: int
    user: str | None
    token: str | None
    transport: Transport


class SessionsEvent(msgspec.Struct, frozen=True):
    """The same in bulk: `count` sessions came or went that were not told one by one."""

    type: Literal["sessions_changed"]
    time: str
    node: str
    count: int


def node_name(host: str, port: int) -> str:
    """The default name of a web server: its machine and its port, the only pair that differs
    between two of them on one machine, and that stays over a restart."""
    slug = re.sub("[^a-z0-9_-]+", "-", host.lower()).strip("-")
    room = MAX_NODE_CHARACTERS - len(f"-{port}")
    return f"{slug[:room] or 'web'}-{port}"


def presence_topic(base_topic: str, node: str) -> str:
    """Where a node tells who is there."""
    return f"{base_topic}/bridge/web/{node}"


def will(base_topic: str, node: str) -> Message:
    """What the broker says of a node that is gone without a word."""
    return _message(presence_topic(base_topic, node), Presence("offline"))


class PresenceTeller:
    """Tells changes of a roster, once a period at most. Without I/O but for the wall clock."""

    def __init__(self, base_topic: str, node: str, roster: Roster) -> None:
        self.topic = presence_topic(base_topic, node)
        self._base_topic = base_topic
        self._node = node
        self._roster = roster
        self._events: list[SessionEvent] = []
        self._untold = 0
        self._link_ups = 0
        self._told: deque[bytes] = deque(maxlen=16)
        self._is_told = False
        self._is_heard = False
        self._was_rival = False
        roster.on_change(self._changed)

    def tick(self, link: Link, *, link_ups: int, held: bytes | None) -> None:
        """Once a period: say what has changed.

        `link_ups` is how often the link came up: each time the broker may have lost what we said.
        `held` is what it holds on our topic, None where that isn't known.
        """
        if link_ups != self._link_ups:
            self._link_ups, self._is_told, self._is_heard = link_ups, False, False
        self._look_at(held)
        self._tell_events(link)
        message = self._presence()
        is_news = not self._is_told or message.payload != self._told[-1]
        # QoS 1 waits while the link is down: then the newest is enough, when it is back.
        if is_news and link.is_up and published(link, message):
            self._is_told = True
            self._told.append(message.payload)

    def farewell(self, link: Link) -> None:
        """Say that nobody is here any more, before an orderly end."""
        published(link, _message(self.topic, Presence("offline")))

    def _presence(self) -> Message:
        names = sorted({name for each in self._roster if (name := each.identity.user) is not None})
        here = Presence("online", len(self._roster), names[:MAX_USERS])
        return _message(self.topic, here)

    def _look_at(self, held: bytes | None) -> None:
        """Notice if somebody else writes there: our own past's will, or another of our name."""
        if held is None:
            return
        if held in self._told:
            self._is_heard = True
            return
        if not self._is_heard:
            return  # an earlier life's, until ours comes back from the broker
        try:
            is_online = msgspec.json.decode(held, type=Presence).state == "online"
        except (msgspec.MsgspecError, UnicodeDecodeError):
            is_online = False
        if not is_online:
            self._is_told = self._is_heard = False
        elif not self._was_rival:
            self._was_rival = True
            log.warning(
                "Another web server tells on %s who watches it, as this one does: give one of them"
                " another name by web.node",
                self.topic,
            )

    def _changed(self, session: OpenSession, came: bool) -> None:
        if len(self._events) >= MAX_EVENTS:
            self._untold += 1
            return
        kind: Literal["session_opened", "session_closed"] = (
            "session_opened" if came else "session_closed"
        )
        who = session.identity
        self._events.append(
            SessionEvent(
                kind,
                iso_time(time.time()),
                self._node,
                session.id,
                who.user,
                who.token_name,
                session.transport,
            )
        )

    def _tell_events(self, link: Link) -> None:
        events: list[SessionEvent | SessionsEvent] = [*self._events]
        if self._untold:
            events.append(
                SessionsEvent("sessions_changed", iso_time(time.time()), self._node, self._untold)
            )
        self._events.clear()
        self._untold = 0
        for event in events:  # of QoS 0, so what the link doesn't take is lost
            if not published(link, event_message(self._base_topic, event)):
                return


def _message(topic: str, presence: Presence) -> Message:
    return Message(topic, msgspec.json.encode(presence), QoS.AT_LEAST_ONCE, retain=True)
