"""Noticing that a file has changed, for one stat() each time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one version of a file from the next; other rights or owners are one, too."""

    modified_ns: int
    changed_ns: int
    size: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp of a file whose status this is."""
        return cls(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def stamp_of(path: str | Path) -> Stamp | None:
    """The stamp of the file as it is now, or None where it can't be seen."""
    try:
        return Stamp.of(Path(path).stat())
    except OSError:
        return None
