"""One process a role and data folder."""

import multiprocessing
import os
import re
from pathlib import Path

import pytest

from gateway.instance_lock import FolderError, LockedError, locked


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


@pytest.mark.parametrize("below", ["", "data"])
def test_a_folder_of_no_use_is_named_with_its_key(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / below
    sentence = f"the data folder {re.escape(str(folder))} can't be used: .+: .+ another `data`"
    with pytest.raises(FolderError, match=sentence), locked(folder, "web"):
        pass
