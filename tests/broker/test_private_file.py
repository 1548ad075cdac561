from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from broker.private_file import edit_lock, replace_file


def test_only_we_can_read_what_is_written_and_no_draft_stays(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    replace_file(path, "one")
    replace_file(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_can_not_be_replaced_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError, match="folder"):
        replace_file(path, "one")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_root_writes_belongs_to_whom_the_file_or_the_folder_does(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    os.chown(tmp_path, 65_534, 65_534)
    replace_file(path, "one")
    assert (path.stat().st_uid, path.stat().st_gid) == (65_534, 65_534)
    os.chown(path, 1, 1)
    replace_file(path, "two")
    assert (path.stat().st_uid, path.stat().st_gid) == (1, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_changes_at_the_same_time_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")

    def count() -> None:
        for _ in range(20):
            with edit_lock(path):
                path.write_text(str(int(path.read_text()) + 1))

    threads = [threading.Thread(target=count) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "100"
