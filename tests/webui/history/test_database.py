"""The file: what goes in comes out, whenever it is rolled up, swept or opened again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.webui.history.samples import NOON_S, Expected, Sample, expected, samples
from webui.errors import HistoryError
from webui.history import tidying
from webui.history.batch import Batch
from webui.history.bucket import Bucket
from webui.history.database import VERSION, Database
from webui.history.level import HOUR, LEVELS, MINUTE, RAW, Level
from webui.history.reading import NO_COLUMNS, ExportRow, Reading
from webui.history.series import SeriesKey
from webui.history.tidying import Tidying

FILE = "history.sqlite"
KEY = SeriesKey("boiler", "temperature")
DAY_S = 86_400
MEGABYTE = 1_000_000


class Kept:
    """An open file, with all that looks after it and reads it."""

    def __init__(self, folder: Path, *, raw_s: int = DAY_S, max_bytes: int = 64 * MEGABYTE) -> None:
        self.path = folder / FILE
        self.database = Database(self.path, max_bytes=max_bytes)
        self.tidying = Tidying(self.database, raw_s=raw_s)
        self.reading = Reading(self.path)
        self._batch = self.database.next_batch()
        self._known = self.database.known()

    def close(self) -> None:
        self.reading.close()
        self.database.close()

    def batch(self, live: Sequence[Sample], series: int = 1) -> Batch:
        batch = Batch(self._batch)
        self._batch += 1
        if series not in self._known.values():
            key = KEY if series == 1 else SeriesKey("", f"topic/{series}")
            self._known[key] = batch_series = series
            batch.series[batch_series] = key
        for sample in live:
            assert batch.sample(series, sample.time_ms, sample.value, room=10**9)
        return batch

    def write(self, *live: Sample, series: int = 1) -> int:
        return self.database.write(self.batch(live, series))

    def write_late(self, *late: Sample) -> int:
        batch = self.batch(())
        for sample in late:
            batch.late_sample(1, sample.time_ms, sample.value, room=10**9)
        return self.database.write(batch)

    def tidy(self, now_s: int) -> int:
        """Tidy up to the end; how many steps that took."""
        for steps in range(10_000):
            if not self.tidying.step(now_s):
                return steps
        raise AssertionError("it never ends")

    def rows(self, level: Level, series: int = 1) -> dict[int, Expected]:
        found = self.database.file.execute(
            "SELECT start, first, last_at, low, mean, high, last, count"
            f" FROM {level.table} WHERE series = ?",
            (series,),
        )
        buckets = (Bucket.from_row(row) for row in found)
        return {
            each.start: Expected(
                each.first_ms, each.low, each.mean, each.high, each.last, each.count
            )
            for each in buckets
        }

    def exported(self, start_s: int = 0, end_s: int = 10**11, series: int = 1) -> list[ExportRow]:
        found: list[ExportRow] = []
        place: int | None = start_s
        while place is not None:
            piece, place = self.reading.rows(series, place, end_s)
            found += piece
        return found

    @property
    def size(self) -> int:
        return sum(each.stat().st_size for each in self.path.parent.glob(f"{FILE}*"))


@contextmanager
def kept(folder: Path, *, raw_s: int = DAY_S, max_bytes: int = 64 * MEGABYTE) -> Iterator[Kept]:
    with closing(Kept(folder, raw_s=raw_s, max_bytes=max_bytes)) as file:
        yield file


def every(second_s: int, span_s: int, *, since: int = NOON_S) -> list[Sample]:
    """A value so often: the second itself."""
    return [Sample((since + s) * 1000, float(s)) for s in range(0, span_s, second_s)]


def alike(found: dict[int, Expected], wanted: dict[int, Expected]) -> bool:
    return found.keys() == wanted.keys() and all(
        (a.first_ms, a.low, a.high, a.last, a.count) == (b.first_ms, b.low, b.high, b.last, b.count)
        and a.mean == pytest.approx(b.mean)
        for a, b in ((found[start], wanted[start]) for start in found)
    )


@settings(max_examples=60)
@given(samples(7200), st.lists(st.integers(0, 8000) | st.none(), max_size=6), st.data())
def test_every_level_says_what_is_true_however_it_came_about(
    all_samples: list[Sample], events: list[int | None], data: st.DataObject
) -> None:
    """Batches in any order of time, with rolling up and a new start in between."""
    distinct = list({sample.time_ms: sample for sample in all_samples}.values())
    with TemporaryDirectory() as folder:
        file = Kept(Path(folder))
        left = list(distinct)
        for event in events:
            size = data.draw(st.integers(0, len(left)))
            file.write(*left[:size])
            del left[:size]
            if event is None:
                file.close()
                file = Kept(Path(folder))
            else:
                file.tidy(NOON_S + event)
        file.write(*left)
        with closing(file):
            assert alike(file.rows(RAW), expected(distinct, 1))
            file.tidy(NOON_S + DAY_S - 100)
            for level in LEVELS:
                assert alike(file.rows(level), expected(distinct, level.width_s))


@given(
    samples(7200),
    st.integers(0, 8000),
    st.integers(-100, 7300),
    st.integers(1, 7300),
    st.integers(10, 500),
)
@settings(max_examples=50)
def test_columns_hold_what_is_asked_for_and_no_more_points(
    all_samples: list[Sample], rolled_up_at: int, start: int, span_s: int, points: int
) -> None:
    start_s, end_s = NOON_S + start, NOON_S + start + span_s
    with TemporaryDirectory() as folder, kept(Path(folder)) as file:
        file.write(*all_samples)
        file.tidy(NOON_S + rolled_up_at)
        columns = file.reading.columns(1, start_s, end_s, points, ())
    asked = [each for each in all_samples if start_s <= each.time_ms // 1000 < end_s]
    assert len(columns.time) <= points
    assert list(columns.time) == sorted(set(columns.time))
    assert len(columns.time) == len(columns.low) == len(columns.mean) == len(columns.high)
    for low, mean, high in zip(columns.low, columns.mean, columns.high, strict=True):
        assert low <= mean + 1e-9
        assert mean <= high + 1e-9
    if asked:  # the minute in which the stretch begins may hold more
        assert min(columns.low) <= min(each.value for each in asked)
        assert max(columns.high) >= max(each.value for each in asked)
    if span_s <= points - 2:
        wanted = expected(asked, 1)
        assert list(columns.time) == [each.first_ms for each in wanted.values()]
        assert list(columns.mean) == pytest.approx([each.mean for each in wanted.values()])


def test_what_is_not_written_yet_is_in_the_answer_once(tmp_path: Path) -> None:
    with kept(tmp_path) as file:
        first, second = Sample(NOON_S * 1000, 1.0), Sample(NOON_S * 1000 + 1500, 2.0)
        third = Sample(NOON_S * 1000 + 100_000_000, 3.0)
        batches = [file.batch([each]) for each in (first, second, third)]
        unwritten = [(each.number, bucket) for each in batches for bucket in each.live[1]]
        for written in range(3):
            columns = file.reading.columns(1, NOON_S, NOON_S + 3600, 10_000, unwritten)
            assert list(columns.mean) == [1.0, 2.0]
            assert list(columns.time) == [first.time_ms, second.time_ms]
            file.database.write(batches[written])


def test_unwritten_samples_of_a_slot_join_those_of_the_file(tmp_path: Path) -> None:
    with kept(tmp_path) as file:
        file.write(*every(1, 60))
        bucket = Bucket.of(NOON_S + 1, NOON_S * 1000 + 1999, 100.0)
        columns = file.reading.columns(1, NOON_S, NOON_S + 60, 10, [(9, bucket)])
        assert columns.high[0] == 100.0
        assert columns.low[0] == 0.0
        assert len(columns.time) == 8


def test_a_series_that_nothing_is_known_of_has_no_columns_and_no_rows(tmp_path: Path) -> None:
    with kept(tmp_path) as file:
        assert file.reading.columns(1, 0, NOON_S, 100, ()) == NO_COLUMNS
        assert file.reading.rows(1, 0, NOON_S) == ([], None)


def test_an_export_has_all_of_it_a_piece_at_a_time(tmp_path: Path) -> None:
    with kept(tmp_path) as file:
        file.write(*every(1, 5000))
        piece, place = file.reading.rows(1, 0, NOON_S + 4500)
        assert len(piece) == 2000
        assert place == NOON_S + 2000
        rows = file.exported(0, NOON_S + 4500)
        assert [row.mean for row in rows] == [float(n) for n in range(4500)]
        assert rows[7] == ExportRow((NOON_S + 7) * 1000, 1, 7.0, 7.0, 7.0, 7.0, 1)


def test_a_repeated_backlog_changes_nothing(tmp_path: Path) -> None:
    late = every(1, 90)
    with kept(tmp_path) as file:
        file.write(Sample(NOON_S * 1000 - 1, -5.0))
        file.write_late(*late)
        file.write_late(*late)
        assert file.database.repeats == 90
        assert alike(file.rows(RAW), expected([Sample(NOON_S * 1000 - 1, -5.0), *late], 1))


def test_a_backlog_fills_the_second_in_which_the_live_samples_broke_off(tmp_path: Path) -> None:
    live = [Sample(NOON_S * 1000 + 100, 1.0), Sample(NOON_S * 1000 + 900, 9.0)]
    with kept(tmp_path) as file:
        file.write(live[0])
        file.write_late(Sample(NOON_S * 1000 + 500, 5.0))
        file.write(live[1])
        (second,) = file.rows(RAW).values()
    assert second == Expected(NOON_S * 1000 + 100, 1.0, 5.0, 9.0, 9.0, 3)


def test_a_backlog_for_a_time_that_is_rolled_up_goes_into_every_level(tmp_path: Path) -> None:
    live, late = every(1, 60), every(1, 60, since=NOON_S + 60)
    with kept(tmp_path) as file:
        file.write(*live)
        file.tidy(NOON_S + 3600)
        assert file.write_late(*late) == 60
        for level in LEVELS:
            assert alike(file.rows(level), expected([*live, *late], level.width_s))


def test_a_backlog_is_known_again_when_its_seconds_are_gone(tmp_path: Path) -> None:
    late = every(1, 120)
    with kept(tmp_path, raw_s=3600) as file:
        file.write_late(*late)
        file.tidy(NOON_S + 2 * DAY_S)
        assert file.rows(RAW) == {}
        file.write_late(*late)
        file.tidy(NOON_S + 2 * DAY_S + 1000)
        assert file.database.repeats == 120
        for level in (MINUTE, HOUR):
            assert alike(file.rows(level), expected(late, level.width_s))


def test_a_file_goes_on_where_it_was(tmp_path: Path) -> None:
    with kept(tmp_path) as file:
        file.write(*every(1, 100))
        file.write(*every(1, 10), series=2)
        file.tidy(NOON_S + 3600)
        batch = file.database.next_batch()
    with kept(tmp_path) as file:
        assert file.database.known() == {KEY: 1, SeriesKey("", "topic/2"): 2}
        assert file.database.next_batch() == batch
        later = every(1, 10, since=NOON_S + 3590)
        file.write(*later)
        file.tidy(NOON_S + 7200)
        assert alike(file.rows(HOUR), expected([*every(1, 100), *later], 3600))


def test_series_that_nothing_is_left_of_go_with_the_next_start(tmp_path: Path) -> None:
    with kept(tmp_path) as file:
        file.write(series=1)
        file.write(*every(1, 1), series=2)
    with kept(tmp_path) as file:
        assert file.database.known() == {SeriesKey("", "topic/2"): 2}


def test_samples_stay_for_so_long_and_then_minutes_answer_for_them(tmp_path: Path) -> None:
    with kept(tmp_path, raw_s=7200) as file:
        file.write(*every(1, 4 * 3600))
        file.tidy(NOON_S + 4 * 3600)
        raw = sorted(file.rows(RAW))
        assert raw[0] == NOON_S + 2 * 3600
        rows = file.exported()
        assert [row.width for row in rows] == [60] * 120 + [1] * 7200
        assert sum(row.samples for row in rows) == 4 * 3600
        columns = file.reading.columns(1, NOON_S, NOON_S + 600, 1000, ())
        assert list(columns.time) == [(NOON_S + n * 60) * 1000 for n in range(10)]
        assert columns.mean[0] == pytest.approx(29.5)
        assert file.tidy(NOON_S + 4 * 3600 + 60) == 0


def test_an_export_goes_on_when_what_it_was_at_is_swept(tmp_path: Path) -> None:
    with kept(tmp_path, raw_s=7200) as file:
        file.write(*every(1, 2 * 3600))
        _, place = file.reading.rows(1, 0, 10**11)
        assert place == NOON_S + 2000
        file.tidy(NOON_S + DAY_S)
        rest, end = file.reading.rows(1, place, 10**11)
        assert end is None
        assert {row.width for row in rest} == {60}
        assert rest[0].time == (NOON_S + 1980) * 1000


def test_a_clock_that_is_set_back_hides_nothing(tmp_path: Path) -> None:
    with kept(tmp_path, raw_s=3600) as file:
        file.write(*every(60, 600, since=NOON_S + 10 * DAY_S))
        file.tidy(NOON_S + 20 * DAY_S)
        now = every(1, 100)
        file.write(*now)
        file.tidy(NOON_S + 100)
        columns = file.reading.columns(1, NOON_S, NOON_S + 100, 1000, ())
        assert list(columns.mean) == [sample.value for sample in now]
        for level in LEVELS:
            assert len(file.exported(NOON_S, NOON_S + 100)) == 100, level


def test_a_full_file_gives_up_the_oldest_of_each_level_and_stays_below_its_bound(
    tmp_path: Path,
) -> None:
    """Two weeks of six series, in a file for far less."""
    bound = 1_500_000
    with kept(tmp_path, raw_s=365 * DAY_S, max_bytes=bound) as file:
        for hour in range(14 * 24):
            since = NOON_S + hour * 3600
            for series in range(1, 7):
                file.write(*every(30, 3600, since=since), series=series)
            file.tidy(since + 3600)
            assert file.path.stat().st_size <= bound
            assert file.size <= bound + 3 * MEGABYTE
        end_s = since + 3600
        oldest = {level: end_s - min(file.rows(level)) for level in LEVELS}
        assert 3600 < oldest[RAW] < oldest[MINUTE] < 14 * DAY_S
        assert oldest[HOUR] == 14 * DAY_S
        rows = file.exported()
        assert sum(row.samples for row in rows) == pytest.approx(14 * DAY_S / 30, abs=120)
        assert {row.width for row in rows} == {1, 60, 3600}


def test_a_file_for_less_than_it_holds_shrinks(tmp_path: Path) -> None:
    now_s = NOON_S + 20 * DAY_S
    with kept(tmp_path, raw_s=365 * DAY_S) as file:
        for day in range(20):
            file.write(*every(30, DAY_S, since=NOON_S + day * DAY_S))
        file.tidy(now_s)
    before = (tmp_path / FILE).stat().st_size
    bound = before // 2
    with kept(tmp_path, raw_s=365 * DAY_S, max_bytes=bound) as file:
        file.tidy(now_s)
        file.database.file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert file.path.stat().st_size <= bound
        with pytest.raises(sqlite3.OperationalError, match="full"):
            file.write(*every(1, 2 * DAY_S, since=now_s))


def test_a_full_file_with_nothing_to_give_up_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    with kept(tmp_path, max_bytes=200_000) as file:
        kept_samples = every(1, 600)
        file.write(*kept_samples)
        with pytest.raises(sqlite3.OperationalError, match="full"):
            file.write(*every(1, 20_000, since=NOON_S + 600))
        file.tidy(NOON_S + 600)
        assert alike(file.rows(RAW), expected(kept_samples, 1))


def test_it_is_tidied_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidying, "_SERIES_A_STEP", 3)
    monkeypatch.setattr(tidying, "_ROWS_A_STEP", 100)
    with kept(tmp_path, raw_s=3600) as file:
        for series in range(1, 11):
            file.write(*every(1, 60), series=series)
        assert file.tidy(NOON_S + 1000) > 4
        assert file.tidy(NOON_S + DAY_S) > 5
        assert all(file.rows(RAW, series) == {} for series in range(1, 11))
        assert all(len(file.rows(MINUTE, series)) == 1 for series in range(1, 11))


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as file:
        file.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(HistoryError, match=r"newer Fieldgate .*move the file away"):
        Database(tmp_path / FILE, max_bytes=MEGABYTE)


def test_a_batch_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with kept(tmp_path) as file, closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        batch = file.batch(every(1, 3))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            file.database.write(batch)
        other.execute("ROLLBACK")
        assert file.rows(RAW) == {}
        file.database.write(batch)
        assert len(file.rows(RAW)) == 3


def test_reading_changes_nothing(tmp_path: Path) -> None:
    with kept(tmp_path) as file, pytest.raises(sqlite3.OperationalError, match="readonly"):
        file.reading._file.execute("DELETE FROM series")  # noqa: SLF001 - whether SQLite holds it
