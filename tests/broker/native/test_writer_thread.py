"""The thread of the store's file: in order, faults to who asked, and no hostage of the disk."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from broker.native.writer_thread import WriterThread
from tests.program import ROOT
from tests.real_ends import DEADLINE_S

HANGING_DISK = """
import asyncio, sys, threading
from pathlib import Path
from broker.native.data_folder import opened
from broker.native.database import Database

Database.close = lambda self, **_: threading.Event().wait()

async def main():
    async with opened(Path(sys.argv[1])):
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


def test_calls_run_in_their_order_and_all_of_them_before_the_end() -> None:
    thread, done = WriterThread("writer"), list[int]()
    futures = [thread.submit(done.append, number) for number in range(100)]
    thread.shutdown()
    for future in futures:
        future.result(DEADLINE_S)
    assert done == list(range(100))


def test_what_a_call_raises_comes_to_who_asked_and_the_next_one_runs() -> None:
    thread = WriterThread("writer")
    failed, fine = thread.submit(int, "x"), thread.submit(int, "1")
    thread.shutdown()
    with pytest.raises(ValueError, match="invalid literal"):
        failed.result(DEADLINE_S)
    assert fine.result(DEADLINE_S) == 1


def test_a_call_that_nobody_waits_for_any_more_does_not_begin() -> None:
    thread, may_end, done = WriterThread("writer"), threading.Event(), list[int]()
    first, second = thread.submit(may_end.wait, DEADLINE_S), thread.submit(done.append, 1)
    assert second.cancel()
    may_end.set()
    thread.shutdown()
    assert first.result(DEADLINE_S)
    assert done == []
