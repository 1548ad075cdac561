"""The file `history.sqlite`: its schema, and how batches go in. All of it in one thread.

Samples go into `raw`, a row a second and series; every few minutes what a series has there is
rolled up into its minutes and hours, up to `series.rolled_up`. What comes for an earlier time goes
into all three at once. So each level can be read on its own, whenever the process ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from webui.errors import HistoryError
from webui.history.batch import Batch
from webui.history.bucket import Bucket
from webui.history.coarse import Coarse
from webui.history.level import HOUR, LEVELS, MINUTE, RAW, Level
from webui.history.series import SeriesKey

VERSION = 1
"""Of the schema. A new one appends to `_MIGRATIONS` what leads to it."""

_BUCKETS = """
    CREATE TABLE {} (
        series INTEGER, start INTEGER, first INTEGER NOT NULL, last_at INTEGER NOT NULL,
        low REAL NOT NULL, mean REAL NOT NULL, high REAL NOT NULL, last REAL NOT NULL,
        count INTEGER NOT NULL, PRIMARY KEY (series, start)
    ) WITHOUT ROWID;
"""

_MIGRATIONS = (
    """
    CREATE TABLE state (
        batch INTEGER NOT NULL, raw_since INTEGER NOT NULL, minute_since INTEGER NOT NULL
    );
    INSERT INTO state VALUES (0, 0, 0);
    CREATE TABLE series (
        number INTEGER PRIMARY KEY, device TEXT NOT NULL, name TEXT NOT NULL, field TEXT NOT NULL,
        rolled_up INTEGER NOT NULL, UNIQUE (device, name, field)
    );
    """
    + "".join(_BUCKETS.format(level.table) for level in LEVELS),
)

PAGE_BYTES = 4096
_BUSY_S = 1.0
_CHECKPOINT_PAGES = 512
"""At 2 MiB the log of changes goes into the file itself, and begins anew."""

_UPSERT = """
    INSERT INTO {} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
        first = MIN(first, excluded.first),
        last = CASE WHEN excluded.last_at >= last_at THEN excluded.last ELSE last END,
        last_at = MAX(last_at, excluded.last_at),
        low = MIN(low, excluded.low),
        mean = (mean * count + excluded.mean * excluded.count) / (count + excluded.count),
        high = MAX(high, excluded.high),
        count = count + excluded.count
"""

_COLUMNS = "start, first, last_at, low, mean, high, last, count"


class Database:
    """The open file. Every method may raise sqlite3.Error, and has then changed nothing."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open or make the file; raises HistoryError for one of a newer Fieldgate."""
        self.max_pages = max_bytes // PAGE_BYTES
        self.file = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            self._prepare(path)
            self.rolled_up = self._load()
        except BaseException:
            self.file.close()
            raise
        self.to_roll_up = dict(self.rolled_up)
        """Series that may have something to roll up, and what they are rolled up to."""
        self.repeats = 0
        """Samples of backlogs that the file held already."""

    def next_batch(self) -> int:
        """The number that follows on that of the newest batch in the file."""
        (batch,) = self.row("SELECT batch FROM state")
        return int(batch) + 1

    def known(self) -> dict[SeriesKey, int]:
        """The series that the file holds, with their numbers."""
        rows = self.file.execute("SELECT device, name, field, number FROM series")
        return {SeriesKey(device, name, field): number for device, name, field, number in rows}

    def write(self, batch: Batch) -> int:
        """Commit a batch, or nothing of it; returns how many rows of a second went in."""
        rolled_up = self.rolled_up | dict.fromkeys(batch.series, 0)
        coarse = Coarse(rolled_up)
        repeats = 0
        with self.transaction():
            self.file.executemany(
                "INSERT INTO series VALUES (?, ?, ?, ?, 0) ON CONFLICT DO NOTHING",
                ((number, *key) for number, key in batch.series.items()),
            )
            self.put(RAW, coarse.noting(_live(batch)))
            for (series, second), bucket in batch.late.items():
                if self._is_repeat(series, second, bucket, rolled_up[series]):
                    repeats += bucket.count
                else:
                    self.put(RAW, coarse.noting([(series, bucket)]))
            self.put_coarse(coarse)
            self.file.execute("UPDATE state SET batch = ?", (batch.number,))
        self.rolled_up = rolled_up
        self.to_roll_up |= {series: rolled_up[series] for series in coarse.later}
        self.repeats += repeats
        return batch.size

    def bound(self) -> None:
        """Let the file grow no further than it may; if it is too large already, a little more,
        since before something can go it must be rolled up."""
        (pages,) = self.row("PRAGMA page_count")
        most = self.max_pages if pages <= self.max_pages else pages + pages // 4
        self.file.execute(f"PRAGMA max_page_count = {most}")

    def close(self) -> None:
        """Let go of the file; what is in the log of changes goes into it."""
        self.file.close()

    # --- for those who tidy up

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what is done inside, or nothing of it."""
        self.file.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.file.execute("COMMIT")
        except BaseException:
            if self.file.in_transaction:
                self.file.execute("ROLLBACK")
            raise

    def put(self, level: Level, buckets: Iterable[tuple[int, Bucket]]) -> None:
        """Write buckets of series, or add them to what is there."""
        # A generator: the thread lets others run between any two rows, as SQLite works.
        rows = ((series, *bucket.row) for series, bucket in buckets)
        self.file.executemany(_UPSERT.format(level.table), rows)

    def put_coarse(self, coarse: Coarse) -> None:
        """Write the minutes and hours that samples belong to."""
        for level in (MINUTE, HOUR):
            self.put(level, coarse.of(level))

    def raw(self, series: int, start_s: int) -> Iterator[Bucket]:
        """What a series has in `raw` from a second on."""
        rows = self.file.execute(
            f"SELECT {_COLUMNS} FROM raw WHERE series = ? AND start >= ?", (series, start_s)
        )
        return map(Bucket.from_row, rows)

    def row(self, query: str, *values: object) -> Any:
        """The first row of an answer; None where there is none."""
        return self.file.execute(query, values).fetchone()

    # --- how

    def _prepare(self, path: Path) -> None:
        run = self.file.execute
        (found,) = self.row("PRAGMA user_version")
        if found > VERSION:
            raise HistoryError(
                f"{path} was written by a newer Fieldgate (its schema is {found}, ours is"
                f" {VERSION}): use that version, or move the file away to start without it."
            )
        run("PRAGMA auto_vacuum = INCREMENTAL")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        run(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        run(f"PRAGMA journal_size_limit = {_CHECKPOINT_PAGES * PAGE_BYTES}")
        self.bound()
        for version, migration in enumerate(_MIGRATIONS[found:], found + 1):
            self.file.executescript(
                f"BEGIN IMMEDIATE; {migration} PRAGMA user_version = {version}; COMMIT;"
            )

    def _load(self) -> dict[int, int]:
        """What each series is rolled up to; those that nothing is left of go."""
        nothing = " AND ".join(
            f"NOT EXISTS (SELECT 1 FROM {level.table} WHERE series = number)" for level in LEVELS
        )
        self.file.execute(f"DELETE FROM series WHERE {nothing}")
        return dict(self.file.execute("SELECT number, rolled_up FROM series"))

    def _is_repeat(self, series: int, second: int, bucket: Bucket, rolled_up: int) -> bool:
        """Whether the file has samples of that time: of the second, or where that has gone by
        now, of the minute."""
        (raw_since,) = self.row("SELECT raw_since FROM state")
        level = MINUTE if second < min(raw_since, rolled_up) else RAW
        for each in {RAW, level}:
            row = self.row(
                f"SELECT {_COLUMNS} FROM {each.table} WHERE series = ? AND start = ?",
                series,
                second - second % each.width_s,
            )
            if row and Bucket.from_row(row).spans(bucket.first_ms, bucket.last_ms):
                return True
        return False


def _live(batch: Batch) -> Iterator[tuple[int, Bucket]]:
    for series, buckets in batch.live.items():
        for bucket in buckets:
            yield series, bucket


def is_corrupt(error: Exception) -> bool:
    """Whether the file is to blame, and not the disk or its rights."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
