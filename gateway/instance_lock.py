"""A lock file in the data folder: one process a role and folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import GatewayError


class LockedError(GatewayError):
    """Another process works with this data folder."""


@contextmanager
def locked(folder: Path, role: str) -> Iterator[None]:
    """Hold `<folder>/<role>.lock`; raises LockedError, or OSError for a folder of no use.

    The system lets go of it with the process, however that ends, so no stale lock is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{role}.lock").open("a+") as file:
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
