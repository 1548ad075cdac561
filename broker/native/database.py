"""The file `broker.sqlite`: its schema, what is read from it at the start, how batches go in.

All of it runs in the store's one thread. Times in the file are wall-clock times, since they have
to mean something after a restart; `offset` is what the wall clock is ahead of the loop's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeAlias

from broker.errors import EngineError
from broker.link import QoS
from broker.native.batch import Batch, Changes, SessionRow
from broker.native.delivery import Delivery
from broker.native.field import FieldReader
from broker.native.properties import EMPTY, Holder, read_properties, write_properties
from broker.native.routed import Routed, Stored
from broker.native.router import Grant

Durability: TypeAlias = Literal["process", "power"]
"""What a commit survives: the end of the process, or also that of the machine's power."""

VERSION = 1
"""Of the schema. A new one appends to `_MIGRATIONS` what leads to it."""

_MIGRATIONS = (
    """
    CREATE TABLE stop (clean INTEGER NOT NULL);
    INSERT INTO stop VALUES (1);
    CREATE TABLE retained (
        topic TEXT PRIMARY KEY, payload BLOB NOT NULL, qos INTEGER NOT NULL,
        properties BLOB NOT NULL, expires REAL
    );
    CREATE TABLE session (
        number INTEGER PRIMARY KEY, client_id TEXT NOT NULL, user TEXT, expiry_s REAL,
        absent_since REAL
    );
    CREATE TABLE subscription (
        session INTEGER, share TEXT, filter TEXT, qos INTEGER NOT NULL, no_local INTEGER NOT NULL,
        retain_as_published INTEGER NOT NULL, identifier INTEGER,
        PRIMARY KEY (session, share, filter)
    ) WITHOUT ROWID;
    CREATE TABLE received (
        session INTEGER, packet_id INTEGER, PRIMARY KEY (session, packet_id)
    ) WITHOUT ROWID;
    CREATE TABLE message (
        number INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL,
        qos INTEGER NOT NULL, retain INTEGER NOT NULL, properties BLOB NOT NULL, expires REAL
    );
    CREATE TABLE delivery (
        session INTEGER, number INTEGER, message INTEGER NOT NULL, qos INTEGER NOT NULL,
        retain INTEGER NOT NULL, identifiers TEXT NOT NULL, packet_id INTEGER NOT NULL,
        is_received INTEGER NOT NULL, PRIMARY KEY (session, number)
    ) WITHOUT ROWID;
    """,
)

MAX_FILE_BYTES = 2 * 1024 * 1024 * 1024
"""At this size the file is as full as a full disk: the broker goes on in memory."""

_PAGE_BYTES = 4096
_BUSY_S = 1.0
"""How long another program may keep the file for itself before that counts as a refusal."""

_MAX_WAL_BYTES = 16 * 1024 * 1024

_OWNED_TABLES = ("subscription", "received", "delivery")


@dataclass(slots=True)
class StoredSession:
    """One session as it lies in the file."""

    number: int
    row: SessionRow
    grants: list[Grant] = field(default_factory=list)
    received: set[int] = field(default_factory=set)
    deliveries: list[Delivery] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Contents:
    """All that the file holds."""

    was_stopped: bool = True
    """Whether the broker that wrote it was stopped and not killed."""
    retained: list[Routed] = field(default_factory=list)
    sessions: list[StoredSession] = field(default_factory=list)
    next_number: int = 1


class Database:
    """The open file. Every method may raise sqlite3.Error."""

    def __init__(
        self, path: Path, *, durability: Durability, max_bytes: int = MAX_FILE_BYTES
    ) -> None:
        """Open or make the file; raises EngineError for one of a newer Fieldgate."""
        self._file = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            self._prepare(path, max_bytes)
        except BaseException:
            self._file.close()
            raise
        self._synchronous = "FULL" if durability == "power" else "NORMAL"
        self._paths = (path, path.with_name(f"{path.name}-wal"))
        self.size = 0
        """Bytes on the disk after the last write."""

    def load(self, offset: float) -> Contents:
        """All that is there; from now on, until `close`, the file counts as not stopped.

        Raises ValueError or PacketError for rows that can't be ours.
        """
        was_stopped = bool(self._rows("SELECT clean FROM stop")[0][0])
        if not was_stopped:
            self._check()
        self._mark_stopped(False)
        self._file.execute(f"PRAGMA synchronous = {self._synchronous}")
        retained = [
            Routed(
                topic,
                payload,
                QoS(qos),
                retain=True,
                properties=_properties(held),
                expires_at=_shifted(expires, -offset),
            )
            for topic, payload, qos, held, expires in self._rows("SELECT * FROM retained")
        ]
        messages = {row[0]: _message(row, offset) for row in self._rows("SELECT * FROM message")}
        sessions = {
            number: StoredSession(number, SessionRow(*rest))
            for number, *rest in self._rows(
                "SELECT * FROM session ORDER BY absent_since IS NULL, absent_since"
            )
        }
        self._load_owned(sessions, messages)
        places = (each.number for one in sessions.values() for each in one.deliveries)
        last = max(chain(messages, sessions, places), default=0)
        return Contents(was_stopped, retained, list(sessions.values()), last + 1)

    def write(self, batch: Batch, offset: float) -> None:
        """Commit a batch, or nothing of it."""
        run = self._file.execute
        run("BEGIN IMMEDIATE")
        try:
            self._write_each(batch, offset)
            run("COMMIT")
        except BaseException:
            if self._file.in_transaction:
                run("ROLLBACK")
            raise
        with suppress(OSError):
            self.size = sum(each.stat().st_size for each in self._paths if each.exists())

    def close(self, *, is_complete: bool) -> None:
        """Let go of the file; `is_complete` says that it holds all that it should."""
        with closing(self._file):
            if is_complete:
                self._file.execute("PRAGMA incremental_vacuum")
                self._mark_stopped(True)

    def _prepare(self, path: Path, max_bytes: int) -> None:
        run = self._file.execute
        run("PRAGMA auto_vacuum = INCREMENTAL")
        run("PRAGMA journal_mode = WAL")
        run(f"PRAGMA journal_size_limit = {_MAX_WAL_BYTES}")
        run(f"PRAGMA max_page_count = {max_bytes // _PAGE_BYTES}")
        (found,) = self._rows("PRAGMA user_version")[0]
        if found > VERSION:
            raise EngineError(
                f"{path} was written by a newer Fieldgate (its schema is {found}, ours is"
                f" {VERSION}): use that version, or move the file away to start without it."
            )
        for version, migration in enumerate(_MIGRATIONS[found:], found + 1):
            self._file.executescript(
                f"BEGIN IMMEDIATE; {migration} PRAGMA user_version = {version}; COMMIT;"
            )

    def _check(self) -> None:
        (answer,) = self._rows("PRAGMA quick_check(1)")[0]
        if answer != "ok":
            raise ValueError(f"SQLite's check says {answer}")

    def _mark_stopped(self, clean: bool) -> None:
        self._file.execute("PRAGMA synchronous = FULL")  # rare, and wrong it would be a lie
        self._file.execute("UPDATE stop SET clean = ?", (clean,))

    def _load_owned(self, sessions: dict[int, StoredSession], messages: dict[int, Routed]) -> None:
        for number, share, topic_filter, qos, no_local, as_published, identifier in self._rows(
            "SELECT * FROM subscription"
        ):
            grant = Grant(
                topic_filter,
                QoS(qos),
                bool(no_local),
                bool(as_published),
                identifier,
                share or None,
            )
            _owner(sessions, number).grants.append(grant)
        for number, packet_id in self._rows("SELECT * FROM received"):
            _owner(sessions, number).received.add(packet_id)
        for (
            number,
            place,
            message_number,
            qos,
            retain,
            identifiers,
            packet_id,
            is_received,
        ) in self._rows("SELECT * FROM delivery"):
            message = messages.get(message_number)
            if message is None or message.stored is None:
                raise ValueError(f"there is no message {message_number}")
            message.stored.holders += 1
            delivery = Delivery(
                message,
                QoS(qos),
                bool(retain),
                tuple(map(int, identifiers.split())),
                message.size,
                bool(is_received),
                packet_id,
                place,
            )
            _owner(sessions, number).deliveries.append(delivery)

    def _write_each(self, batch: Batch, offset: float) -> None:
        self._write_retained(batch.retained, offset)
        self._many(
            "INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?, ?)",
            [(number, *row) for number, row in batch.sessions.items()],
        )
        self._many(
            "INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (session, *key, row.qos, row.no_local, row.retain_as_published, row.identifier)
                for session, changes in batch.subscriptions.items()
                for key, row in changes.put_ones
            ],
        )
        self._many(
            "DELETE FROM subscription WHERE session = ? AND share = ? AND filter = ?",
            [
                (session, *key)
                for session, changes in batch.subscriptions.items()
                for key in changes.dropped_ones
            ],
        )
        self._many(
            "INSERT OR REPLACE INTO received VALUES (?, ?)",
            list(_received(batch, is_open=True)),
        )
        self._many(
            "DELETE FROM received WHERE session = ? AND packet_id = ?",
            list(_received(batch, is_open=False)),
        )
        self._write_owed(batch, offset)
        for table in _OWNED_TABLES:
            self._many(
                f"DELETE FROM {table} WHERE session = ?", [(each,) for each in batch.forgotten]
            )
        self._many("DELETE FROM session WHERE number = ?", [(each,) for each in batch.forgotten])

    def _write_retained(self, retained: Changes[str, Routed], offset: float) -> None:
        self._many(
            "INSERT OR REPLACE INTO retained VALUES (?, ?, ?, ?, ?)",
            [
                (
                    topic,
                    row.payload,
                    row.qos,
                    write_properties(row.properties, Holder.PUBLISH),
                    _shifted(row.expires_at, offset),
                )
                for topic, row in retained.put_ones
            ],
        )
        self._many(
            "DELETE FROM retained WHERE topic = ?",
            [(topic,) for topic in retained.dropped_ones],
        )

    def _write_owed(self, batch: Batch, offset: float) -> None:
        self._many(
            "INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    number,
                    row.topic,
                    row.payload,
                    row.qos,
                    row.retain,
                    write_properties(row.properties, Holder.PUBLISH),
                    _shifted(row.expires_at, offset),
                )
                for number, row in batch.messages.items()
                if row is not None
            ],
        )
        self._many(
            "DELETE FROM message WHERE number = ?",
            [(number,) for number, row in batch.messages.items() if row is None],
        )
        self._many(
            "INSERT OR REPLACE INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *key,
                    row.message,
                    row.qos,
                    row.retain,
                    " ".join(map(str, row.identifiers)),
                    row.packet_id,
                    row.is_received,
                )
                for key, row in batch.deliveries.items()
                if row is not None
            ],
        )
        self._many(
            "DELETE FROM delivery WHERE session = ? AND number = ?",
            [key for key, row in batch.deliveries.items() if row is None],
        )

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._file.execute(query).fetchall()

    def _many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        if rows:
            self._file.executemany(statement, rows)


def _received(batch: Batch, *, is_open: bool) -> Iterator[tuple[int, int]]:
    for session, numbers in batch.received.items():
        for packet_id, found in numbers.items():
            if found is is_open:
                yield session, packet_id


def is_corrupt(error: Exception) -> bool:
    """Whether the file is to blame, and not the disk or its rights."""
    if not isinstance(error, sqlite3.Error):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _owner(sessions: dict[int, StoredSession], number: int) -> StoredSession:
    session = sessions.get(number)
    if session is None:
        raise ValueError(f"there is no session {number}")
    return session


def _message(row: tuple[Any, ...], offset: float) -> Routed:
    number, topic, payload, qos, retain, held, expires = row
    message = Routed(
        topic,
        payload,
        QoS(qos),
        retain=bool(retain),
        properties=_properties(held),
        expires_at=_shifted(expires, -offset),
    )
    message.stored = Stored(number)
    return message


def _properties(held: bytes) -> Any:
    if held == b"\0":
        return EMPTY
    return read_properties(FieldReader("stored message", held, 0, len(held)), Holder.PUBLISH)


def _shifted(time: float | None, by: float) -> float | None:
    return None if time is None else time + by
