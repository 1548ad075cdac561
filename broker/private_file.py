"""Files that only we may read: written as a whole or not at all, by one command at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def is_readable_by_others(status: os.stat_result) -> bool:
    """Whether other users of this machine can read it."""
    return bool(stat.S_IMODE(status.st_mode) & (stat.S_IRGRP | stat.S_IROTH))


@contextlib.contextmanager
def edit_lock(path: Path) -> Iterator[None]:
    """Keep two commands from undoing each other's change of a file; raises OSError."""
    lock = path.with_name(f".{path.name}.lock")
    with os.fdopen(os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def replace_file(path: Path, text: str) -> None:
    """Write the whole file, readable by us alone, or nothing of it; raises OSError.

    What root writes belongs to whom the file belonged, or the folder: a service that runs as
    somebody else could not read it otherwise.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _write_through(draft, text)
        if os.geteuid() == 0:
            owner = (path if path.exists() else path.parent).stat()
            os.chown(draft, owner.st_uid, owner.st_gid)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def _write_through(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
