"""The roster: who is here, which is every open session, and how many there may be."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import HTTPConnection

from broker.access import source_of
from broker.serving import is_loopback
from webui.ending import Ending
from webui.errors import RefusedError
from webui.identity import Identity
from webui.subscription import Subscription

MAX_SESSIONS = 10_000
"""Browsers and streams at once; the next one is told to come back later."""

MAX_PER_ADDRESS = 2_000
"""A fifth of all: a whole plant behind one router fits, and none can shut out the others. This
machine itself is not counted: a proxy on it may stand for everybody."""

Transport = Literal["websocket", "events", "tail"]
Refusal = Literal["all", "address", "stopping"]


@dataclass(eq=False, slots=True)
class OpenSession:
    """One browser or stream; `opened_ms` is ms since 1970, UTC."""

    id: int
    identity: Identity
    address: str
    transport: Transport
    opened_ms: int
    subscriptions: Callable[[], Iterable[Subscription]] = tuple
    ending: Ending = field(default_factory=Ending)
    timer: asyncio.TimerHandle | None = None
    """Ends it when what its identity came in with ends."""


class Roster:
    """Counts sessions in and out, and tells whoever wants to know of each that comes or goes."""

    def __init__(self) -> None:
        self.opened: Counter[Transport] = Counter()
        self.refused: Counter[Refusal] = Counter()
        self.is_stopping = False
        self._open: dict[int, OpenSession] = {}
        self._by_source: Counter[str] = Counter()
        self._listeners: list[Callable[[OpenSession, bool], None]] = []

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[OpenSession]:
        return iter(tuple(self._open.values()))

    def on_change(self, listener: Callable[[OpenSession, bool], None]) -> None:
        """Call this for each session that comes (True) or goes (False)."""
        self._listeners.append(listener)

    def enter(self, identity: Identity, address: str, transport: Transport) -> OpenSession:
        """Count a session in; raises RefusedError where it is one too many, or too late."""
        if self.is_stopping:
            self.refused["stopping"] += 1
            raise RefusedError("unavailable", "the server stops or restarts: come back in a moment")
        if len(self._open) >= MAX_SESSIONS:
            self.refused["all"] += 1
            raise RefusedError("unavailable", "too many sessions: try again later")
        source = None if is_loopback(address) else source_of(address)
        if source is not None and self._by_source[source] >= MAX_PER_ADDRESS:
            self.refused["address"] += 1
            raise RefusedError(
                "rate_limited",
                f"{MAX_PER_ADDRESS} sessions of one address at most: close some of {address}",
            )
        number = self.opened.total() + 1
        session = OpenSession(number, identity, address, transport, time.time_ns() // 1_000_000)
        if identity.end is not None:
            session.timer = session.ending.tell_at(identity.end)
        self.opened[transport] += 1
        self._open[number] = session
        if source is not None:
            self._by_source[source] += 1
        self._tell(session, came=True)
        return session

    def leave(self, session: OpenSession) -> None:
        """Count out a session that was counted in."""
        del self._open[session.id]
        if session.timer is not None:
            session.timer.cancel()
        if not is_loopback(session.address):
            source = source_of(session.address)
            self._by_source[source] -= 1
            if not self._by_source[source]:
                del self._by_source[source]
        self._tell(session, came=False)

    def _tell(self, session: OpenSession, *, came: bool) -> None:
        for listener in self._listeners:
            listener(session, came)


def address_of(connection: HTTPConnection) -> str:
    """Where a request comes from: the peer, or whom a trusted proxy names; "" if unknown."""
    return connection.client.host if connection.client else ""
