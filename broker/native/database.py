"""The file `broker.sqlite`: what is read from it at the start, how batches go in.

All of it runs in the store's one thread. Times in the file are wall-clock times, since they have
to mean something after a restart; `offset` is what the wall clock is ahead of the loop's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeAlias

from broker.native.batch import Batch
from broker.native.contents import Contents, read_contents
from broker.native.properties import Holder, write_properties
from broker.native.routed import Routed
from broker.native.schema import OWNED_TABLES, open_file

Durability: TypeAlias = Literal["process", "power"]
"""What a commit survives: the end of the process, or also that of the machine's power."""

MAX_FILE_BYTES = 2 * 1024 * 1024 * 1024
"""At this size the file is as full as a full disk: the broker goes on in memory."""

Rows: TypeAlias = Sequence[tuple[Any, ...]]


class Database:
    """The open file. Every method may raise sqlite3.Error."""

    def __init__(
        self, path: Path, *, durability: Durability, max_bytes: int = MAX_FILE_BYTES
    ) -> None:
        """Open or make the file; raises EngineError for one of a newer Fieldgate."""
        self._file = open_file(path, max_bytes)
        self._file.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
        self._paths = (path, path.with_name(f"{path.name}-wal"))
        self._says_running = False
        self.size = 0
        """Bytes on the disk after the last write."""

    def load(self, offset: float) -> Contents:
        """All that is there; raises ValueError or PacketError for rows that can't be ours."""
        contents = read_contents(self._file, offset)
        self._says_running = not contents.was_stopped
        return contents

    def write(self, batch: Batch, offset: float) -> None:
        """Commit a batch, or nothing of it; until `close`, the file says that it wasn't closed."""
        run = self._file.execute
        run("BEGIN IMMEDIATE")
        try:
            if not self._says_running:
                run("UPDATE stop SET clean = 0")
            # What goes away first: in a file that may not grow it makes room for what comes.
            for statement, rows in chain(_deletions(batch), _insertions(batch, offset)):
                if rows:
                    self._file.executemany(statement, rows)
            run("COMMIT")
        except BaseException:
            if self._file.in_transaction:
                run("ROLLBACK")
            raise
        self._says_running = True
        with suppress(OSError):
            self.size = sum(each.stat().st_size for each in self._paths if each.exists())

    def close(self, *, is_complete: bool) -> None:
        """Let go of the file; `is_complete` says that it holds all that it should."""
        with closing(self._file):
            if is_complete and self._says_running:
                self._file.execute("PRAGMA incremental_vacuum")
                self._file.execute("PRAGMA synchronous = FULL")  # wrong it would be a lie
                self._file.execute("UPDATE stop SET clean = 1")


def _deletions(batch: Batch) -> Iterator[tuple[str, Rows]]:
    yield (
        "DELETE FROM retained WHERE topic = ?",
        [(topic,) for topic in batch.retained.dropped_ones],
    )
    for table in OWNED_TABLES:
        yield f"DELETE FROM {table} WHERE session = ?", [(each,) for each in batch.forgotten]
    yield "DELETE FROM session WHERE number = ?", [(each,) for each in batch.forgotten]
    yield (
        "DELETE FROM subscription WHERE session = ? AND share = ? AND filter = ?",
        [
            (session, *key)
            for session, changes in batch.subscriptions.items()
            for key in changes.dropped_ones
        ],
    )
    yield (
        "DELETE FROM received WHERE session = ? AND packet_id = ?",
        list(_received(batch, is_open=False)),
    )
    yield (
        "DELETE FROM will WHERE session = ?",
        [(session,) for session, row in batch.wills.items() if row is None],
    )
    yield (
        "DELETE FROM delivery WHERE session = ? AND number = ?",
        [key for key, row in batch.deliveries.items() if row is None],
    )
    yield (
        "DELETE FROM message WHERE number = ?",
        [(number,) for number, row in batch.messages.items() if row is None],
    )


def _insertions(batch: Batch, offset: float) -> Iterator[tuple[str, Rows]]:
    yield (
        "INSERT OR REPLACE INTO retained VALUES (?, ?, ?, ?, ?)",
        [
            (topic, row.payload, row.qos, *_kept(row, offset))
            for topic, row in batch.retained.put_ones
        ],
    )
    yield (
        "INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?, ?)",
        [(number, *row) for number, row in batch.sessions.items()],
    )
    yield (
        "INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (session, *key, row.qos, row.no_local, row.retain_as_published, row.identifier)
            for session, changes in batch.subscriptions.items()
            for key, row in changes.put_ones
        ],
    )
    yield (
        "INSERT OR REPLACE INTO received VALUES (?, ?)",
        list(_received(batch, is_open=True)),
    )
    yield (
        "INSERT OR REPLACE INTO will VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                session,
                row.will.topic,
                row.will.payload,
                row.will.qos,
                row.will.retain,
                write_properties(row.will.properties, Holder.WILL),
                _shifted(row.due, offset),
            )
            for session, row in batch.wills.items()
            if row is not None
        ],
    )
    yield (
        "INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (number, row.topic, row.payload, row.qos, row.retain, *_kept(row, offset))
            for number, row in batch.messages.items()
            if row is not None
        ],
    )
    yield (
        "INSERT OR REPLACE INTO delivery VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                *key,
                row.message,
                row.qos,
                row.retain,
                " ".join(map(str, row.identifiers)),
                row.packet_id,
                row.is_received,
                None if row.share is None else "$share/{}/{}".format(*row.share),
            )
            for key, row in batch.deliveries.items()
            if row is not None
        ],
    )


def _kept(message: Routed, offset: float) -> tuple[bytes, float | None]:
    held = write_properties(message.properties, Holder.PUBLISH)
    return held, _shifted(message.expires_at, offset)


def _received(batch: Batch, *, is_open: bool) -> Iterator[tuple[int, int]]:
    for session, numbers in batch.received.items():
        for packet_id, found in numbers.items():
            if found is is_open:
                yield session, packet_id


def _shifted(time: float | None, by: float) -> float | None:
    return None if time is None else time + by
