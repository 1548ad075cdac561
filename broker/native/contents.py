"""What `broker.sqlite` holds, read at the start.

Times in the file are wall-clock times, since they have to mean something after a restart;
`offset` is what the wall clock is ahead of the loop's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from broker.link import QoS
from broker.native.batch import SessionRow, WillRow
from broker.native.delivery import Delivery
from broker.native.field import FieldReader
from broker.native.packet import Will
from broker.native.properties import EMPTY, Holder, Properties, read_properties
from broker.native.routed import Routed, Stored
from broker.native.router import Grant, Share
from broker.native.share import split_share


@dataclass(slots=True)
class StoredSession:
    """One session as it lies in the file."""

    number: int
    row: SessionRow
    grants: list[Grant] = field(default_factory=list)
    received: set[int] = field(default_factory=set)
    deliveries: list[Delivery] = field(default_factory=list)
    will: WillRow | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """All that the file holds."""

    was_stopped: bool = True
    """Whether the broker that wrote it was stopped and not killed."""
    retained: list[Routed] = field(default_factory=list)
    sessions: list[StoredSession] = field(default_factory=list)
    next_number: int = 1


def read_contents(file: sqlite3.Connection, offset: float) -> Contents:
    """All that is there; raises sqlite3.Error, and ValueError or PacketError for damaged rows."""
    run = file.execute
    was_stopped = bool(run("SELECT clean FROM stop").fetchone()[0])
    if not was_stopped:
        (answer,) = run("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise ValueError(f"SQLite's check says {answer}")
    retained = [
        _routed(topic, payload, qos, True, held, expires, offset)
        for topic, payload, qos, held, expires in run("SELECT * FROM retained")
    ]
    messages = dict(_messages(file, offset))
    sessions = {
        number: StoredSession(number, SessionRow(*rest))
        for number, *rest in run(
            "SELECT * FROM session ORDER BY absent_since IS NULL, absent_since"
        )
    }
    _read_owned(file, sessions, messages, offset)
    places = (each.number for one in sessions.values() for each in one.deliveries)
    last = max(chain(messages, sessions, places), default=0)
    return Contents(was_stopped, retained, list(sessions.values()), last + 1)


def _messages(file: sqlite3.Connection, offset: float) -> Iterator[tuple[int, Routed]]:
    for number, topic, payload, qos, retain, held, expires in file.execute("SELECT * FROM message"):
        message = _routed(topic, payload, qos, bool(retain), held, expires, offset)
        message.stored = Stored(number)
        yield number, message


def _read_owned(
    file: sqlite3.Connection,
    sessions: dict[int, StoredSession],
    messages: dict[int, Routed],
    offset: float,
) -> None:
    run = file.execute
    for number, share, topic_filter, qos, no_local, as_published, identifier in run(
        "SELECT * FROM subscription"
    ):
        grant = Grant(
            topic_filter, QoS(qos), bool(no_local), bool(as_published), identifier, share or None
        )
        _owner(sessions, number).grants.append(grant)
    for number, packet_id in run("SELECT * FROM received"):
        _owner(sessions, number).received.add(packet_id)
    for number, *rest in run("SELECT * FROM delivery"):
        _owner(sessions, number).deliveries.append(_delivery(messages, *rest))
    for number, topic, payload, qos, retain, held, due in run("SELECT * FROM will"):
        will = Will(topic, payload, QoS(qos), bool(retain), _properties(held, Holder.WILL))
        _owner(sessions, number).will = WillRow(will, _shifted(due, -offset))


def _owner(sessions: dict[int, StoredSession], number: int) -> StoredSession:
    session = sessions.get(number)
    if session is None:
        raise ValueError(f"there is no session {number}")
    return session


def _delivery(
    messages: dict[int, Routed],
    place: int,
    message_number: int,
    qos: int,
    retain: int,
    identifiers: str,
    packet_id: int,
    is_received: int,
    share: str | None,
) -> Delivery:
    message = messages.get(message_number)
    if message is None or message.stored is None:
        raise ValueError(f"there is no message {message_number}")
    message.stored.holders += 1
    return Delivery(
        message,
        QoS(qos),
        bool(retain),
        tuple(map(int, identifiers.split())),
        message.size,
        bool(is_received),
        packet_id,
        number=place,
        share=None if share is None else _share(share),
    )


def _share(text: str) -> Share:
    name, topic_filter = split_share(text)
    if name is None:
        raise ValueError(f"{text} is no shared subscription")
    return name, topic_filter


def _routed(
    topic: str,
    payload: bytes,
    qos: int,
    retain: bool,
    held: bytes,
    expires: float | None,
    offset: float,
) -> Routed:
    return Routed(
        topic,
        payload,
        QoS(qos),
        retain=retain,
        properties=_properties(held, Holder.PUBLISH),
        expires_at=_shifted(expires, -offset),
    )


def _properties(held: bytes, holder: Holder) -> Properties:
    if held == b"\0":
        return EMPTY
    return read_properties(FieldReader("stored message", held, 0, len(held)), holder)


def _shifted(time: float | None, by: float) -> float | None:
    return None if time is None else time + by
