"""What has changed since the store was last written: the newest row of each key. Pure.

A batch can't outgrow what the broker holds: a key that changes again replaces its row, and what
came and went within one batch was never there. So batches that could not be written are joined
and kept as long as it takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from broker.link import QoS
from broker.native.routed import Routed
from broker.native.router import Grant


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


@dataclass(slots=True)
class Batch:
    """Keys and their new rows; None where the row goes away."""

    first: int
    """Rows numbered from here on have not been written yet."""
    mark: int = 0
    """What is durable once this batch is."""
    retained: dict[str, Routed | None] = field(default_factory=dict)
    sessions: dict[int, SessionRow] = field(default_factory=dict)
    forgotten: set[int] = field(default_factory=set)
    """Sessions that go away with all that belongs to them; their numbers don't come again."""
    subscriptions: dict[tuple[int, str, str], Grant | None] = field(default_factory=dict)
    """By session, share name or "", and filter."""
    received: dict[tuple[int, int], bool] = field(default_factory=dict)
    """By session and packet id."""
    messages: dict[int, Routed | None] = field(default_factory=dict)
    deliveries: dict[tuple[int, int], DeliveryRow | None] = field(default_factory=dict)
    """By session and number."""

    def __bool__(self) -> bool:
        return bool(
            self.retained
            or self.sessions
            or self.forgotten
            or self.subscriptions
            or self.received
            or self.messages
            or self.deliveries
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
        self.sessions.pop(session, None)
        self.forgotten.add(session)

    def followed_by(self, newer: Batch) -> Batch:
        """This batch, which could not be written, and the one after it in one."""
        self.mark = newer.mark
        self.retained |= newer.retained
        self.sessions |= newer.sessions
        self.forgotten |= newer.forgotten
        self.subscriptions |= newer.subscriptions
        self.received |= newer.received
        self.messages |= newer.messages
        self.deliveries |= newer.deliveries
        for number in self.forgotten:
            self.sessions.pop(number, None)
        for message in [n for n, row in self.messages.items() if row is None and n >= self.first]:
            del self.messages[message]
        for key in [k for k, row in self.deliveries.items() if row is None and k[1] >= self.first]:
            del self.deliveries[key]
        return self
