"""Reading the file: columns for a chart, and rows for an export. All of it in one thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from webui.history.bucket import Bucket
from webui.history.level import RAW, Part, Reach, level_for, parts, spacing_s

EXPORT_ROWS = 2000
"""Rows of an export that are read at once."""


class Slot(NamedTuple):
    """What an answer has for one slot of its grid; `time` is that of its first sample, in ms."""

    number: int
    time: int
    low: float
    mean: float
    high: float
    samples: int


@dataclass(frozen=True, slots=True)
class Columns:
    """What a chart draws, ascending by time: ms since 1970 of the first sample in each slot, and
    the least, the mean and the greatest of all samples in it."""

    time: Sequence[int]
    low: Sequence[float]
    mean: Sequence[float]
    high: Sequence[float]


NO_COLUMNS = Columns((), (), (), ())


class ExportRow(NamedTuple):
    """One bucket as an export has it; `time` in ms since 1970, `width` in seconds."""

    time: int
    width: int
    low: float
    mean: float
    high: float
    last: float
    samples: int


class Reading:
    """A connection to the file that changes nothing. Methods may raise sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        address = f"file:{quote(str(path))}?mode=rw"  # or reading would make a file
        self._file = sqlite3.connect(address, uri=True, timeout=1.0, isolation_level=None)
        self._file.execute("PRAGMA query_only = ON")

    def columns(
        self,
        series: int,
        start_s: int,
        end_s: int,
        points: int,
        unwritten: Sequence[tuple[int, Bucket]],
    ) -> Columns:
        """What a series was from one second to before another, in at most so many points.

        `unwritten` are buckets that may not be in the file yet, with the number of their batch.
        """
        spacing = spacing_s(start_s, end_s, points)
        level = level_for(spacing, end_s - start_s)
        with self._snapshot():
            written, reach = self._state(series)
            slots = [
                slot
                for part in parts(level, reach, start_s, end_s)
                for slot in self._slots(series, part, spacing)
            ]
        slots += (
            Slot(each.start // spacing, each.first_ms, each.low, each.mean, each.high, each.count)
            for batch, each in unwritten
            if batch > written and start_s <= each.start < end_s
        )
        return _columns(slots)

    def rows(self, series: int, start_s: int, end_s: int) -> tuple[list[ExportRow], int | None]:
        """The first of what there is, as fine as it is; and the second to go on from, if any."""
        with self._snapshot():
            _, reach = self._state(series)
            found: list[ExportRow] = []
            for part in parts(RAW, reach, start_s, end_s):
                rows = self._file.execute(
                    f"SELECT start * 1000 + first, {part.level.width_s}, low, mean, high, last,"
                    f" count, start FROM {part.level.table}"
                    " WHERE series = ? AND start >= ? AND start < ? ORDER BY start LIMIT ?",
                    (series, part.start_s, part.end_s, EXPORT_ROWS - len(found)),
                ).fetchall()
                found += (ExportRow(*row[:-1]) for row in rows)
                if len(found) >= EXPORT_ROWS:
                    return found, int(rows[-1][-1]) + part.level.width_s
        return found, None

    def close(self) -> None:
        self._file.close()

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """What is read inside is of one moment."""
        self._file.execute("BEGIN")
        try:
            yield
        finally:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")

    def _state(self, series: int) -> tuple[int, Reach]:
        """The newest batch in the file, and how far each level goes."""
        row = self._file.execute("SELECT batch, raw_since, minute_since FROM state").fetchone()
        known = self._file.execute(
            "SELECT rolled_up FROM series WHERE number = ?", (series,)
        ).fetchone()
        batch, raw_since, minute_since = row
        return batch, Reach(raw_since, minute_since, known[0] if known else 0)

    def _slots(self, series: int, part: Part, spacing: int) -> Iterator[Slot]:
        chosen = f"FROM {part.level.table} WHERE series = ? AND start >= ? AND start < ?"
        if spacing <= part.level.width_s:  # then each bucket has a slot of its own
            query = f"SELECT start / ?, start * 1000 + first, low, mean, high, count {chosen}"
        else:
            query = (
                "SELECT start / ? AS slot, MIN(start * 1000 + first), MIN(low),"
                f" SUM(mean * count) / SUM(count), MAX(high), SUM(count) {chosen} GROUP BY slot"
            )
        rows = self._file.execute(query, (spacing, series, part.start_s, part.end_s))
        return map(Slot._make, rows)


def _columns(slots: Iterable[Slot]) -> Columns:
    """Columns of slots, some of which may be there twice."""
    found: dict[int, Slot] = {}
    for slot in slots:
        known = found.get(slot.number)
        found[slot.number] = slot if known is None else _merged(known, slot)
    if not found:
        return NO_COLUMNS
    _, time, low, mean, high, _ = zip(*(found[each] for each in sorted(found)), strict=True)
    return Columns(time, low, mean, high)


def _merged(one: Slot, other: Slot) -> Slot:
    samples = one.samples + other.samples
    return Slot(
        one.number,
        min(one.time, other.time),
        min(one.low, other.low),
        (one.mean * one.samples + other.mean * other.samples) / samples,
        max(one.high, other.high),
        samples,
    )
