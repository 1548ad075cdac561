"""History in the data folder: opened, or put aside where it is damaged."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Error as SqliteError

from webui.history.bounds import RecorderLimits
from webui.history.database import Database, is_corrupt
from webui.history.history import OFF, History, OffHistory
from webui.history.recorded import GATHER_S, RETRY_S, OpenFile, RecordedHistory
from webui.history.recorder import Recorder
from webui.history.series import Naming, RecordedTopics
from webui.history.thread import FileThread
from webui.history.tidying import Tidying

log = logging.getLogger(__name__)

FILE = "history.sqlite"

_MOST_ROWS, _BYTES_A_ROW = 200_000, 1000
_MOST_SERIES, _BYTES_A_SERIES = 20_000, 50_000
"""Bounds of what waits and of series; a small file has less of both, or they would fill it."""

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """What is recorded besides the points of devices, and how much of it stays.

    `size_bytes` bounds all files of history together; 0 is no history at all.
    """

    topics: tuple[RecordedTopics, ...] = ()
    raw_days: float = 1
    size_bytes: int = 1_000_000_000


@asynccontextmanager
async def open_history(
    folder: Path | None,
    settings: HistorySettings,
    base_topic: str,
    *,
    gather_s: float = GATHER_S,
    retry_s: float = RETRY_S,
) -> AsyncIterator[History]:
    """History in a folder. Without one, or with no size, nothing is recorded.

    Raises HistoryError for a file of a newer Fieldgate. A file that is damaged is put aside; where
    there can be none, nothing is recorded. Both are logged.
    """
    if folder is None or not settings.size_bytes:
        yield OFF
        return
    path = folder / FILE
    writer = FileThread("history-writer", waiting=16)
    try:
        try:
            file = await writer.run(_open, path, settings)
        except (SqliteError, OSError) as error:
            log.error(
                "%s can't be used (%s): nothing is recorded. Make the folder of the config's `data`"
                " writable.",
                path,
                error,
            )
            yield OffHistory(f"history is away: {path.name} can't be used ({error})")
            return
        known = await writer.run(file.database.known)
        next_batch = await writer.run(file.database.next_batch)
        limits = RecorderLimits(
            buckets=min(_MOST_ROWS, settings.size_bytes // _BYTES_A_ROW),
            series=min(_MOST_SERIES, settings.size_bytes // _BYTES_A_SERIES),
        )
        recorder = Recorder(Naming(base_topic, settings.topics), known, next_batch, limits)
        history = RecordedHistory(file, recorder, writer, gather_s, retry_s)
        try:
            yield history
        finally:
            await history.close()
    finally:
        writer.end()


def _open(path: Path, settings: HistorySettings) -> OpenFile:
    path.parent.mkdir(parents=True, exist_ok=True)

    def renew(error: Exception) -> tuple[Database, Tidying]:
        _put_aside(path, error)
        return _database(path, settings)

    try:
        database, tidying = _database(path, settings)
    except SqliteError as error:
        if not is_corrupt(error):
            raise
        database, tidying = renew(error)
    return OpenFile(path, database, tidying, renew)


def _database(path: Path, settings: HistorySettings) -> tuple[Database, Tidying]:
    # An eighth is for the log of changes, which is a file of its own.
    database = Database(path, max_bytes=settings.size_bytes - settings.size_bytes // 8)
    return database, Tidying(database, raw_s=round(settings.raw_days * _DAY_S))


def _put_aside(path: Path, error: Exception) -> None:
    for earlier in path.parent.glob(f"{path.name}.corrupt-*"):  # each may be as large as history
        earlier.unlink()
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(f"{aside}{suffix}")
    log.error(
        "%s is damaged (%s): it is kept as %s until that happens again, and history begins anew.",
        path,
        error,
        aside.name,
    )
