"""A lock file in the data folder: one process a role and folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from gateway.errors import GatewayError


class LockedError(GatewayError):
    """Another process works with this data folder."""


class FolderError(GatewayError):
    """The data folder can't be made or written to."""


@contextmanager
def locked(folder: Path, role: str) -> Iterator[None]:
    """Hold `<folder>/<role>.lock`; raises LockedError or FolderError.

    The system lets go of it with the process, however that ends, so no stale lock is left.
    """
    with _lock_file(folder, role) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(32).strip()
            raise LockedError(
                f"another fieldgate{f' (process {holder})' if holder else ''} runs its {role}"
                f" with the data folder {folder}: stop it, or give this one another `data`"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _lock_file(folder: Path, role: str) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / f"{role}.lock").open("a+")
    except OSError as error:
        why = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
        raise FolderError(
            f"the data folder {folder} can't be used: {why}: let this user write to it, or name"
            " another `data`"
        ) from error
