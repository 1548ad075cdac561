"""One process a role and data folder."""

import multiprocessing
import os
from pathlib import Path

import pytest

from gateway.instance_lock import LockedError, locked


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "data", "web"),
        pytest.raises(LockedError, match=f"process {os.getpid()}.*web"),
        locked(tmp_path / "data", "web"),
    ):
        pass


def test_roles_and_folders_do_not_mind_each_other(tmp_path: Path) -> None:
    with locked(tmp_path, "web"), locked(tmp_path, "readers"), locked(tmp_path / "b", "web"):
        pass


def test_it_can_be_held_again_after_it_was_let_go(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path, "web"):
            pass


def _hold_and_die(folder: Path) -> None:
    with locked(folder, "web"):
        os._exit(9)


def test_a_process_that_was_killed_leaves_no_lock_behind(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_hold_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 9
    with locked(tmp_path, "web"):
        pass


def test_a_folder_that_can_not_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), locked(tmp_path / "file" / "data", "web"):
        pass
