"""What keeps the file small: samples are rolled up, and the oldest of each level go.

Done in steps of milliseconds, so that what is to be written never waits for long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from webui.history.coarse import Coarse
from webui.history.database import Database
from webui.history.level import HOUR, LEVELS, MINUTE, RAW, Level

ROLL_UP_S = 300
"""How long samples are in `raw` only: the pages of minutes and hours are written less often."""

_SETTLED_S = 10
"""So old is what is rolled up: what comes from now on is later."""

_SERIES_A_STEP = 200
_ROWS_A_STEP = 20_000
_PAGES_A_STEP = 1000

_SLACK_S = 600
"""Raw samples go when they are this much too old: a few pages at once instead of each by itself."""

_FULL = 0.85
"""At this share of its bound the file counts as full, so that what waits still goes in."""

_SWEEP_SHARE = 20
"""Of a full file's level the oldest twentieth goes, by age."""

_SHARES = {RAW: 1, MINUTE: 60, HOUR: 3600}
"""How old the oldest of each level may be in a full file, in proportion: as many rows in each."""

_AT_LEAST_S = {RAW: 900, MINUTE: 7200, HOUR: 7200}
"""What a level keeps however full the file is: it isn't rolled up, or just asked for."""


@dataclass(slots=True)
class _Sweep:
    """Taking away what a level has before `until_s`, series by series."""

    level: Level
    until_s: int
    series: Iterator[int]


class Tidying:
    """Looks after one open file, in its thread. `raw_s` is how many seconds of samples stay."""

    def __init__(self, database: Database, *, raw_s: int) -> None:
        self._database = database
        self._raw_s = raw_s
        self._sweep: _Sweep | None = None

    def step(self, now_s: int) -> bool:
        """Do a little of what there is to do; whether there is more. May raise sqlite3.Error."""
        if due := self._due(now_s):
            self._roll_up(due, now_s)
            return True
        self._set_back(now_s)
        if self._sweep is None:
            self._sweep = self._next_sweep(now_s)
        if self._sweep is not None:
            self._take_away(self._sweep)
            return True
        return self._shrink()

    # --- rolling up

    def _due(self, now_s: int) -> list[int]:
        until_s = now_s - _SETTLED_S - ROLL_UP_S
        waiting = self._database.to_roll_up.items()
        return [series for series, rolled_up in waiting if rolled_up <= until_s][:_SERIES_A_STEP]

    def _roll_up(self, due: list[int], now_s: int) -> None:
        database = self._database
        until_s = (now_s - _SETTLED_S) // 60 * 60
        coarse = Coarse(dict.fromkeys(due, until_s))
        with database.transaction():
            for series in due:
                for bucket in database.raw(series, database.rolled_up[series]):
                    coarse.add(series, bucket)
            database.put_coarse(coarse)
            database.file.executemany(
                "UPDATE series SET rolled_up = ? WHERE number = ?",
                [(until_s, series) for series in due],
            )
        for series in due:
            database.rolled_up[series] = until_s
            del database.to_roll_up[series]
            if series in coarse.later:
                database.to_roll_up[series] = until_s

    # --- taking away

    def _set_back(self, now_s: int) -> None:
        """Where the clock has been set back, what comes now is whole again in every level."""
        raw_since, minute_since = self._since()
        if max(raw_since, minute_since) > now_s:
            hour_s = now_s // 3600 * 3600
            self._set_since(min(raw_since, hour_s), min(minute_since, hour_s))

    def _next_sweep(self, now_s: int) -> _Sweep | None:
        raw_since, _ = self._since()
        if now_s - raw_since > self._raw_s + _SLACK_S:
            return self._begin(RAW, now_s - self._raw_s)
        if self._used_pages() <= _FULL * self._database.max_pages:
            return None
        oldest = {level: self._oldest(level, now_s) for level in LEVELS}
        for level in sorted(LEVELS, key=lambda each: (oldest[each] - now_s) / _SHARES[each]):
            until_s = oldest[level] + max(60, (now_s - oldest[level]) // _SWEEP_SHARE)
            if until_s < now_s - _AT_LEAST_S[level]:
                return self._begin(level, until_s)
        return None

    def _begin(self, level: Level, until_s: int) -> _Sweep:
        """From now on, a coarser level answers for that time."""
        raw_since, minute_since = self._since()
        if level is RAW:
            until_s += -until_s % MINUTE.width_s
            self._set_since(max(raw_since, until_s), minute_since)
        else:
            until_s += -until_s % HOUR.width_s
            if level is MINUTE:
                self._set_since(raw_since, max(minute_since, until_s))
        return _Sweep(level, until_s, iter(sorted(self._database.rolled_up)))

    def _take_away(self, sweep: _Sweep) -> None:
        database = self._database
        before = database.file.total_changes
        series = None
        with database.transaction():
            for series in islice(sweep.series, _SERIES_A_STEP):
                database.file.execute(
                    f"DELETE FROM {sweep.level.table} WHERE series = ? AND start < ?",
                    (series, sweep.until_s),
                )
                if database.file.total_changes - before > _ROWS_A_STEP:
                    break
        if series is None:
            self._sweep = None

    def _oldest(self, level: Level, now_s: int) -> int:
        (oldest,) = self._database.row(
            "SELECT MIN(oldest) FROM (SELECT (SELECT start FROM "
            f"{level.table} WHERE series = number ORDER BY start LIMIT 1) AS oldest FROM series)"
        )
        return now_s if oldest is None else int(oldest)

    def _since(self) -> tuple[int, int]:
        raw_since, minute_since = self._database.row("SELECT raw_since, minute_since FROM state")
        return raw_since, minute_since

    def _set_since(self, raw_since: int, minute_since: int) -> None:
        self._database.file.execute(
            "UPDATE state SET raw_since = ?, minute_since = ?", (raw_since, minute_since)
        )

    # --- the file itself

    def _used_pages(self) -> int:
        return self._pages("page_count") - self._pages("freelist_count")

    def _shrink(self) -> bool:
        """Give free pages back where the file was allowed to be larger once."""
        too_many = self._pages("page_count") - self._database.max_pages
        if too_many <= 0 or not self._pages("freelist_count"):
            return False
        self._database.file.execute(f"PRAGMA incremental_vacuum({_PAGES_A_STEP})").fetchall()
        if too_many <= _PAGES_A_STEP:
            self._database.bound()
        return True

    def _pages(self, what: str) -> int:
        (count,) = self._database.row(f"PRAGMA {what}")
        return int(count)
