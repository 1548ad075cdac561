"""What has changed since the store was last written: the newest row of each key. Pure.

A batch can't outgrow what the broker holds and the file held before: a key that changes again
replaces its row, and what came and went within one batch was never there. So batches that could
not be written are joined and kept as long as it takes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from broker.link import QoS
from broker.native.packet import Will
from broker.native.routed import Routed
from broker.native.router import Grant, Share

K = TypeVar("K")
R = TypeVar("R")


class SessionRow(NamedTuple):
    """An MQTT session, without what belongs to it."""

    client_id: str
    user: str | None
    expiry_s: float | None
    absent_since: float | None
    """Wall-clock time; None while its client is connected."""


class DeliveryRow(NamedTuple):
    """A message that is owed to a session."""

    message: int
    qos: QoS
    retain: bool
    identifiers: tuple[int, ...]
    packet_id: int
    is_received: bool
    share: Share | None


class WillRow(NamedTuple):
    """The will of a session's client."""

    will: Will
    due: float | None
    """In the loop's time; None while its client is connected."""


class Changes(Generic[K, R]):
    """Keys and their new rows; None where the row goes away."""

    def __init__(self) -> None:
        self._rows: dict[K, R | None] = {}
        self._new: set[K] = set()  # what no earlier batch and no file knows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def put_ones(self) -> Iterator[tuple[K, R]]:
        return ((key, row) for key, row in self._rows.items() if row is not None)

    @property
    def dropped_ones(self) -> Iterator[K]:
        return (key for key, row in self._rows.items() if row is None)

    def put(self, key: K, row: R, *, is_new: bool = False) -> None:
        """A row is there; `is_new` says that there was none of its key before."""
        if is_new and key not in self._rows:
            self._new.add(key)
        self._rows[key] = row

    def drop(self, key: K) -> None:
        """A row goes away."""
        if key in self._new:
            self._new.remove(key)
            del self._rows[key]
        else:
            self._rows[key] = None

    def forget(self, key: K) -> bool:
        """Leave the row as it is; whether something would have changed."""
        self._new.discard(key)
        return self._rows.pop(key, self) is not self

    def take_in(self, newer: Changes[K, R]) -> None:
        """Add what changed after these."""
        for key, row in newer._rows.items():
            if row is None:
                self.drop(key)
            else:
                self.put(key, row, is_new=key in newer._new)


@dataclass(slots=True)
class Batch:
    """Rows by their keys. What belongs to a session is kept by its number."""

    first: int
    """Rows numbered from here on have not been written yet."""
    mark: int = 0
    """What is durable once this batch is."""
    retained: Changes[str, Routed] = field(default_factory=Changes)
    sessions: dict[int, SessionRow] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)
    """Sessions that go away with all that belongs to them; their numbers don't come again."""
    subscriptions: defaultdict[int, Changes[tuple[str, str], Grant]] = field(
        default_factory=lambda: defaultdict(Changes)
    )
    """By share name or "", and filter."""
    received: defaultdict[int, dict[int, bool]] = field(default_factory=lambda: defaultdict(dict))
    """By packet id."""
    wills: dict[int, WillRow | None] = field(default_factory=dict)
    messages: dict[int, Routed | None] = field(default_factory=dict)
    deliveries: dict[tuple[int, int], DeliveryRow | None] = field(default_factory=dict)
    """By session and number."""

    def __len__(self) -> int:
        """How many rows change."""
        return (
            len(self.retained)
            + len(self.sessions)
            + len(self.forgotten)
            + sum(map(len, self.subscriptions.values()))
            + sum(map(len, self.received.values()))
            + len(self.wills)
            + len(self.messages)
            + len(self.deliveries)
        )

    def drop_message(self, number: int) -> None:
        if number >= self.first:
            del self.messages[number]
        else:
            self.messages[number] = None

    def drop_delivery(self, session: int, number: int) -> None:
        if number >= self.first:
            del self.deliveries[session, number]
        else:
            self.deliveries[session, number] = None

    def forget(self, session: int) -> None:
        for rows in (self.sessions, self.subscriptions, self.received, self.wills):
            rows.pop(session, None)
        if session < self.first:
            self.forgotten.add(session)

    def followed_by(self, newer: Batch) -> Batch:
        """This batch, which could not be written, and the one after it in one."""
        self.mark = newer.mark
        self.retained.take_in(newer.retained)
        self.sessions |= newer.sessions
        for session, changes in newer.subscriptions.items():
            self.subscriptions[session].take_in(changes)
        for session, numbers in newer.received.items():
            self.received[session] |= numbers
        self.wills |= newer.wills
        self.messages |= newer.messages
        self.deliveries |= newer.deliveries
        for session in newer.forgotten:
            self.forget(session)
        self.messages = {
            number: row
            for number, row in self.messages.items()
            if row is not None or number < self.first
        }
        self.deliveries = {
            (session, number): row
            for (session, number), row in self.deliveries.items()
            if (row is not None or number < self.first) and session not in newer.forgotten
        }
        return self
