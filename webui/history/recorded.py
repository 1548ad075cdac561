"""History that is recorded: what is heard goes in, what was asked for comes out.

The loop only samples. A batch goes to the thread that writes every `GATHER_S`; so that much is lost
at most when the power goes, and nothing when the program is stopped. Where the disk refuses, that
is said once, samples wait in memory up to a bound, and it is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from sqlite3 import Error as SqliteError

from broker.link import Message
from webui.history.database import Database, is_corrupt
from webui.history.history import HistorySnapshot
from webui.history.reader import Reader
from webui.history.reading import NO_COLUMNS, Columns, ExportRow, Reading
from webui.history.recorder import Recorder
from webui.history.thread import FileThread
from webui.history.tidying import Tidying

log = logging.getLogger(__name__)

GATHER_S = 5.0
"""How long samples gather: what a power cut costs, against the pages that wear out an SD card."""

RETRY_S = 10.0

DRAIN_S = 0.02
DRAIN_MESSAGES = 2000
"""How often, and at how many messages, the recorder looks: a tenth of a core at the very most."""

CLOSE_S = 2.0
"""How long the last batch may take when the program stops."""


@dataclass(slots=True)
class OpenFile:
    """The file as the writing thread has it. `renew` puts it aside and begins another."""

    path: Path
    database: Database
    tidying: Tidying
    renew: Callable[[Exception], tuple[Database, Tidying]]

    def size(self) -> int:
        """Bytes on the disk, the log of changes included."""
        files = (self.path.with_name(self.path.name + end) for end in ("", "-wal", "-shm"))
        return sum(each.stat().st_size for each in files if each.exists())


class RecordedHistory:
    """See above, and `History`. Lives on one event loop, from `start` to `close`."""

    def __init__(
        self,
        file: OpenFile,
        recorder: Recorder,
        writer: FileThread,
        gather_s: float,
        retry_s: float,
    ) -> None:
        self._file = file
        self._recorder = recorder
        self._writer = writer
        self._reader = Reader(file.path)
        self._gather_s = gather_s
        self._retry_s = retry_s
        self._loop = asyncio.get_running_loop()
        self._is_draining = False
        self._one_at_a_time = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        self._is_failing = False
        self._rows = self._commits = self._failures = self._file_bytes = 0

    # --- what is heard

    def take(self, messages: Sequence[Message], time_ms: int, *, is_replay: bool) -> None:
        self._recorder.take(messages, time_ms, is_replay=is_replay)
        if not self._is_draining:
            self._is_draining = True
            self._loop.call_later(DRAIN_S, self._drain)

    def _drain(self) -> None:
        self._is_draining = self._recorder.drain(DRAIN_MESSAGES)
        if self._is_draining:
            self._loop.call_later(DRAIN_S, self._drain)

    # --- what is asked for

    async def columns(
        self, topic: str, field: str, from_ms: int, to_ms: int, points: int
    ) -> Columns:
        self._recorder.drain(DRAIN_MESSAGES)
        number = self._recorder.number(topic, field)
        if number is None:
            return NO_COLUMNS
        start_s, end_s = _seconds(from_ms, to_ms)
        unwritten = self._recorder.unwritten_of(number)
        return await self._reader.read(
            lambda reading: reading.columns(number, start_s, end_s, points, unwritten)
        )

    async def rows(
        self, topic: str, field: str, from_ms: int, to_ms: int
    ) -> AsyncIterator[Sequence[ExportRow]]:
        # Shielded: who asks may go, but what is on its way to the file must be known to be there.
        await asyncio.shield(asyncio.create_task(self._flush()))
        number = self._recorder.number(topic, field)
        place, end_s = _seconds(from_ms, to_ms)
        while number is not None:
            call = partial(Reading.rows, series=number, start_s=place, end_s=end_s)
            found, following = await self._reader.read(call)
            yield found
            if following is None:
                return
            place = following

    def snapshot(self) -> HistorySnapshot:
        recorder, counts = self._recorder, self._recorder.counts
        return HistorySnapshot(
            state="failing" if self._is_failing else "recording",
            series=recorder.series,
            samples=counts.samples,
            rows=self._rows,
            waiting_messages=recorder.waiting,
            waiting_rows=recorder.unwritten,
            skipped_messages=counts.skipped,
            dropped_samples=counts.dropped,
            refused_samples=counts.refused,
            repeated_samples=counts.repeated + self._file.database.repeats,
            commits=self._commits,
            failures=self._failures,
            file_bytes=self._file_bytes,
        )

    # --- what is written

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(self._retry_s if self._is_failing else self._gather_s):
                    await self._stopping.wait()
            except TimeoutError:
                await self._flush()
                await self._tidy()

    async def _flush(self) -> None:
        """Write what there is by now; what can't be written stays."""
        async with self._one_at_a_time:
            self._recorder.drain(DRAIN_MESSAGES)
            batch = self._recorder.hand_over()
            if not batch:
                self._recorder.written()
                return
            try:
                self._rows += await self._writer.run(self._file.database.write, batch)
            except SqliteError as error:
                self._recorder.take_back()
                await self._failed(error)
                return
            self._recorder.written()
            self._commits += 1
            if self._is_failing:
                self._is_failing = False
                log.warning("The disk takes history again.")
            self._file_bytes = await self._writer.run(self._file.size)

    async def _failed(self, error: SqliteError) -> None:
        self._failures += 1
        if is_corrupt(error):
            await self._reader.close()
            await self._writer.run(self._begin_anew, error)
            self._recorder.file_is_new()
        elif not self._is_failing:
            log.error(
                "The disk does not take history (%s): it waits in memory, %d rows of it at most,"
                " and it is tried every %.0f s. Is the disk full, or history.size_mb too small?",
                error,
                self._recorder.limits.buckets,
                self._retry_s,
            )
        self._is_failing = True

    def _begin_anew(self, damage: Exception) -> None:
        self._file.database.close()
        try:
            self._file.database, self._file.tidying = self._file.renew(damage)
        except (SqliteError, OSError) as error:
            log.error(
                "No new file for history can be made (%s): nothing is recorded until the next"
                " start.",
                error,
            )

    async def _tidy(self) -> None:
        """Do what there is to tidy up, but for what waits to be written."""
        until = self._loop.time() + self._gather_s
        try:
            while not self._stopping.is_set() and self._loop.time() < until:
                async with self._one_at_a_time:
                    is_tidy = not await self._writer.run(self._file.tidying.step, int(time.time()))
                if is_tidy:
                    return
        except SqliteError as error:
            if is_corrupt(error):
                await self._failed(error)
            else:  # what is to be written says what is wrong with the disk, if it is
                log.debug("History is not tidied up for now: %s", error)

    async def close(self) -> None:
        """Write the rest, unless that takes too long."""
        self._stopping.set()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._task
                await self._flush()
                await self._reader.close()
                await self._writer.run(self._file.database.close)
        except TimeoutError:
            log.error("The disk is too slow to write the last of history.")
        except SqliteError as error:
            log.error("History could not be closed as it should be (%s).", error)
        finally:
            self._task.cancel()
            self._reader.end()


def _seconds(from_ms: int, to_ms: int) -> tuple[int, int]:
    return from_ms // 1000, -(-to_ms // 1000)
