"""History as a whole: from what is heard to what is answered, over restarts and bad disks."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from broker.link import Message
from tests.program import ROOT
from tests.real_ends import DEADLINE_S, until
from webui.errors import HistoryError, RefusedError
from webui.history import reader
from webui.history.data_folder import FILE, HistorySettings, open_history
from webui.history.history import OFF, History, HistorySnapshot, OffHistory
from webui.history.reading import Columns, Reading
from webui.history.recorded import RecordedHistory
from webui.history.thread import FileThread

TOPIC = "fieldgate/boiler/temperature"
SOON_S = 0.02
NEVER_S = 3600.0


@asynccontextmanager
async def recording(
    folder: Path,
    settings: HistorySettings | None = None,
    *,
    gather_s: float = SOON_S,
    retry_s: float = SOON_S,
) -> AsyncIterator[RecordedHistory]:
    async with open_history(
        folder, settings or HistorySettings(), "fieldgate", gather_s=gather_s, retry_s=retry_s
    ) as past:
        assert isinstance(past, RecordedHistory)
        yield past


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def hear(past: History, *values: float, topic: str = TOPIC, since_ms: int | None = None) -> int:
    """A value a second, up to now; returns the first one's time."""
    start = now_ms() - len(values) * 1000 if since_ms is None else since_ms
    for second, value in enumerate(values):
        message = Message(topic, str(value).encode())
        past.take([message], start + second * 1000, is_replay=False)
    return start


async def asked(past: History, topic: str = TOPIC, span_ms: int = 3_600_000) -> Columns:
    end = now_ms() + 10_000
    return await past.columns(topic, "", end - span_ms, end, 10_000)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A disk that takes nothing."""
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")
        yield
        file.execute("ROLLBACK")


def found(folder: Path, ending: str = "*") -> list[Path]:
    return list(folder.glob(f"{FILE}{ending}"))


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


async def test_what_is_asked_for_after_a_restart_is_what_it_was_before(tmp_path: Path) -> None:
    async with recording(tmp_path) as past:
        start = hear(past, 1, 2, 3)
        before = await asked(past)
        assert list(before.time) == [start, start + 1000, start + 2000]
        await until(lambda: past.snapshot().rows == 3, "all is written")
        assert await asked(past) == before
        hear(past, 4, since_ms=start + 3000)
        before = await asked(past)
    async with recording(tmp_path, gather_s=NEVER_S) as past:
        assert await asked(past) == before
        assert list(before.mean) == [1.0, 2.0, 3.0, 4.0]


async def test_a_process_that_is_killed_loses_what_was_not_written_and_no_more(
    tmp_path: Path,
) -> None:
    async with recording(tmp_path) as past:
        hear(past, 1, 2, 3)
        await until(lambda: past.snapshot().rows == 3, "all is written")
        before = await asked(past)
        copy = tmp_path / "crashed"
        copy.mkdir()
        for each in found(tmp_path):
            (copy / each.name).write_bytes(each.read_bytes())
    async with recording(copy) as past:
        assert await asked(past) == before


async def test_an_export_holds_what_was_not_written_yet(tmp_path: Path) -> None:
    async with recording(tmp_path, gather_s=NEVER_S) as past:
        hear(past, *range(3))
        pieces = [piece async for piece in past.rows(TOPIC, "", 0, now_ms() + 1000)]
        assert [row.last for piece in pieces for row in piece] == [0.0, 1.0, 2.0]
        assert [piece async for piece in past.rows("nothing", "", 0, now_ms())] == []


async def test_an_export_comes_in_pieces(tmp_path: Path) -> None:
    async with recording(tmp_path, gather_s=NEVER_S) as past:
        now = now_ms()
        for hour in range(3):
            hear(past, *range(3600), since_ms=now - (hour + 1) * 3_600_000)
            await until(lambda: past.snapshot().waiting_messages == 0, "all of it is looked at")
        pieces = [len(piece) async for piece in past.rows(TOPIC, "", 0, now_ms() + 1000)]
        assert sum(pieces) == 3 * 3600
        assert max(pieces) == 2000


async def test_whoever_goes_in_the_middle_of_a_flush_leaves_no_batch_behind(tmp_path: Path) -> None:
    async with recording(tmp_path, gather_s=NEVER_S) as past:
        hear(past, 1)
        export = past.rows(TOPIC, "", 0, now_ms() + 1000)
        with locked(tmp_path):
            asking = asyncio.ensure_future(anext(export))
            await until(lambda: past.snapshot().waiting_messages == 0, "it is being written")
            asking.cancel()
            await asyncio.wait([asking])
        await until(lambda: past.snapshot().commits + past.snapshot().failures, "it is decided")
        hear(past, 2)
        pieces = [piece async for piece in past.rows(TOPIC, "", 0, now_ms() + 1000)]
        assert sum(row.samples for piece in pieces for row in piece) == 2


async def test_a_disk_that_refuses_is_told_of_once_and_costs_nothing_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with recording(tmp_path) as past:
        start = hear(past, 1, 2, 3, 4, 5)
        await until(lambda: past.snapshot().rows == 5, "it works")
        with locked(tmp_path):
            hear(past, 6, 7, since_ms=start + 5000)
            await until(lambda: past.snapshot().failures >= 2, "it was tried again")
            assert past.snapshot().state == "failing"
            assert past.snapshot().waiting_rows == 2
            assert list((await asked(past)).mean)[-3:] == [5.0, 6.0, 7.0]
        await until(lambda: past.snapshot().waiting_rows == 0, "all is written")
        assert past.snapshot().state == "recording"
        assert (await asked(past)).time[-1] == start + 6000
    assert [line.split(" (")[0] for line in errors(caplog)] == [
        "The disk does not take history",
        "The disk takes history again.",
    ]


async def test_a_damaged_file_is_put_aside_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(b"no database " * 1000)
    (tmp_path / f"{FILE}.corrupt-20200101-000000").write_bytes(b"of another time")
    async with recording(tmp_path) as past:
        hear(past, 1)
        assert list((await asked(past)).mean) == [1.0]
    (aside,) = found(tmp_path, ".corrupt-*")
    assert aside.read_bytes().startswith(b"no database")
    (line,) = errors(caplog)
    assert "is damaged (file is not a database)" in line
    assert aside.name in line


async def test_a_file_that_is_damaged_later_is_put_aside_then_and_all_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with recording(tmp_path) as past:
        hear(past, *range(100))
        hear(past, 7, topic="fieldgate/boiler/level")
        await until(lambda: past.snapshot().rows == 101, "all is written")
        await asked(past)
        damage(tmp_path / FILE)
        hear(past, 5)
        await until(lambda: past.snapshot().rows == 102, "all goes on")
        assert len(found(tmp_path, ".corrupt-*")) == 1
        assert list((await asked(past)).mean) == [5.0]
        hear(past, 6, topic="fieldgate/boiler/level")
        await until(lambda: past.snapshot().waiting_rows == 0, "known series go on, too")
        assert list((await asked(past, "fieldgate/boiler/level")).mean) == [6.0]
    assert any("is damaged" in line for line in errors(caplog))


def damage(path: Path) -> None:
    """Overwrite all but the first page, and have others look again."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as raw:
            raw.seek(4096)
            raw.write(os.urandom(path.stat().st_size - 4096))
        file.execute("PRAGMA user_version = 1")


async def test_no_new_file_in_place_of_a_damaged_one_is_no_end_of_the_relay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recording(tmp_path) as past:
        hear(past, *range(100))
        await until(lambda: past.snapshot().rows == 100, "all is written")

        def refuse(_damage: Exception) -> None:
            raise OSError("no room for another file")

        monkeypatch.setattr(past._file, "renew", refuse)  # noqa: SLF001 - no disk does it on demand
        damage(tmp_path / FILE)
        hear(past, 5)
        await until(lambda: past.snapshot().failures >= 2, "it was tried again")
        assert past.snapshot().state == "failing"
    assert any("no room for another file" in line for line in errors(caplog))


async def test_without_a_usable_folder_nothing_is_recorded_and_it_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).mkdir()
    async with open_history(tmp_path, HistorySettings(), "fieldgate") as past:
        assert isinstance(past, OffHistory)
        hear(past, 1)
        with pytest.raises(RefusedError, match=f"history is away: {FILE} can't be used"):
            await asked(past)
        with pytest.raises(RefusedError, match="history is away"):
            past.rows(TOPIC, "", 0, 1)
        assert past.snapshot() == HistorySnapshot()
    (line,) = errors(caplog)
    assert "nothing is recorded. Make the folder" in line


@pytest.mark.parametrize("folder", [True, False])
async def test_no_folder_or_no_size_is_no_history(tmp_path: Path, folder: bool) -> None:
    settings = HistorySettings(size_bytes=0 if folder else 1_000_000_000)
    async with open_history(tmp_path if folder else None, settings, "fieldgate") as past:
        assert past is OFF
        with pytest.raises(RefusedError, match="size_mb is 0"):
            await asked(past)
    assert found(tmp_path) == []


async def test_a_file_of_a_newer_version_stops_the_start(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(HistoryError, match="newer Fieldgate"):
        async with open_history(tmp_path, HistorySettings(), "fieldgate"):
            pass


async def test_it_tidies_up_by_itself(tmp_path: Path) -> None:
    old_ms = now_ms() - 3 * 86_400_000
    async with recording(tmp_path) as past:
        late = f'[{{"time":{old_ms},"temperature":5}},{{"time":{old_ms + 1000},"temperature":7}}]'
        message = Message("fieldgate/boiler/backlog", late.encode())
        past.take([message], now_ms(), is_replay=False)
        hear(past, 1)
        await until(lambda: past.snapshot().rows == 3, "all is written")

        async def is_rolled_up() -> list[int]:
            rows = past.rows(TOPIC, "", old_ms - 60_000, old_ms + 60_000)
            return [row.width async for piece in rows for row in piece]

        end = time.monotonic() + DEADLINE_S
        while set(await is_rolled_up()) != {60}:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        columns = await asked(past, span_ms=4 * 86_400_000)
        assert list(columns.mean) == [6.0, 1.0]


async def test_what_cannot_be_tidied_up_now_is_later(tmp_path: Path) -> None:
    async with recording(tmp_path, gather_s=0.2) as past:
        with locked(tmp_path):
            await asyncio.sleep(0.5)
        hear(past, 1)
        await until(lambda: past.snapshot().rows, "it is written")
        assert past.snapshot().failures == 0


async def test_damage_that_is_found_while_tidying_up_is_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with recording(tmp_path, gather_s=0.2) as past:
        damage(tmp_path / FILE)
        await until(lambda: found(tmp_path, ".corrupt-*"), "it is put aside")
        hear(past, 1)
        await until(lambda: past.snapshot().rows, "all goes on")
    assert any("is damaged" in line for line in errors(caplog))


async def test_a_snapshot_counts_what_came_and_what_became_of_it(tmp_path: Path) -> None:
    settings = HistorySettings(size_bytes=100_999)
    async with recording(tmp_path, settings, gather_s=NEVER_S) as past:
        hear(past, 1, 2, 3)
        hear(past, 1, topic="fieldgate/boiler/a")
        hear(past, 1, topic="fieldgate/boiler/b")
        await anext(past.rows(TOPIC, "", 0, now_ms()))
        counted = past.snapshot()
        size = sum(each.stat().st_size for each in found(tmp_path))
    assert counted.series == 2
    assert (counted.samples, counted.rows, counted.refused_samples) == (4, 4, 1)
    assert (counted.waiting_messages, counted.waiting_rows, counted.failures) == (0, 0, 0)
    assert counted.file_bytes == size


async def test_large_bursts_are_looked_at_little_by_little(tmp_path: Path) -> None:
    async with recording(tmp_path, gather_s=NEVER_S) as past:
        past.take([Message(TOPIC, b"1")] * 9000, now_ms(), is_replay=False)
        assert past.snapshot().samples == 0
        await until(lambda: past.snapshot().samples == 9000, "all of it is looked at")
        assert past.snapshot().waiting_messages == 0


async def test_a_reader_that_fails_says_so_and_tries_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with recording(tmp_path) as past:
        hear(past, 1)
        await until(lambda: past.snapshot().rows, "it is written")
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as file:
            file.execute("ALTER TABLE state RENAME TO gone")
            for _ in range(3):
                with pytest.raises(RefusedError, match="history can't be read now"):
                    await asked(past)
            file.execute("ALTER TABLE gone RENAME TO state")
        assert list((await asked(past)).mean) == [1.0]
    assert [line.split(" (")[0] for line in errors(caplog)] == [
        "History can't be read",
        "History can be read again.",
    ]


async def test_a_disk_that_hangs_keeps_nobody_waiting_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "READ_S", 0.05)
    hang = threading.Event()
    async with recording(tmp_path) as past:
        hear(past, 1)
        await until(lambda: past.snapshot().rows, "it is written")
        monkeypatch.setattr(Reading, "columns", lambda *_: hang.wait(DEADLINE_S))
        with pytest.raises(RefusedError, match="the disk is too slow now"):
            await asked(past)
        hang.set()


# --- the thread


async def test_calls_that_wait_are_bounded() -> None:
    thread, may_end = FileThread("test", waiting=1), threading.Event()
    first = asyncio.ensure_future(thread.run(may_end.wait, DEADLINE_S))
    await asyncio.sleep(0.05)
    second = asyncio.ensure_future(thread.run(int, "2"))
    await asyncio.sleep(0)
    with pytest.raises(RefusedError, match="too many ask"):
        await thread.run(int, "3")
    thread.end()
    second.cancel()
    await asyncio.wait([second])
    may_end.set()
    assert await first
    with pytest.raises(ValueError, match="invalid literal"):
        await thread.run(int, "x")
    thread.end()


HANGING_DISK = """
import asyncio, sys, threading
from pathlib import Path
from webui.history.data_folder import HistorySettings, open_history
from webui.history.database import Database

Database.close = lambda self: threading.Event().wait()

async def main():
    async with open_history(Path(sys.argv[1]), HistorySettings(), "fieldgate"):
        pass

asyncio.run(main())
"""


def test_a_disk_that_hangs_does_not_keep_the_program_from_ending(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGING_DISK, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "The disk is too slow" in ended.stderr
