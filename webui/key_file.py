"""`web.secret`: the key that login cookies are signed with; nodes that have it share logins."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import stat
from pathlib import Path

from webui.errors import KeyFileError

MIN_BYTES = 32
"""What is shorter might be guessed."""

MAX_BYTES = 4096

_log = logging.getLogger(__name__)


def read_or_make_key(path: Path) -> bytes:
    """The key in a file, which is made, readable by us alone, where there is none.

    Of two that make it at once, both get the same. Raises KeyFileError.
    """
    try:
        if not path.exists():
            _make(path)
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            key = file.read(MAX_BYTES + 1).strip()
    except OSError as error:
        raise KeyFileError(
            f"{path}: the key of the login cookies can't be read or made: {error.strerror}."
            " Let this user read it, or delete it: then a new one is made, and everybody logs in"
            " again"
        ) from error
    if not MIN_BYTES <= len(key) <= MAX_BYTES:
        raise KeyFileError(
            f"{path}: the key of the login cookies is {len(key)} bytes long, and must be"
            f" {MIN_BYTES} to {MAX_BYTES}. Delete the file: then a new one is made, and everybody"
            " logs in again"
        )
    if stat.S_IMODE(mode) & (stat.S_IRGRP | stat.S_IROTH):
        _log.warning("%s can be read by other users of this machine: chmod 600 it", path)
    return key


def _make(path: Path) -> None:
    """Write a new key, unless somebody else does; nobody ever sees a part of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(f"{secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)  # unlike a rename, it replaces nothing
    finally:
        draft.unlink(missing_ok=True)
