"""The tables of `broker.sqlite`, and how the file is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from broker.errors import EngineError

_MIGRATIONS = (
    """
    CREATE TABLE stop (clean INTEGER NOT NULL);
    INSERT INTO stop VALUES (1);
    CREATE TABLE retained (
        topic TEXT PRIMARY KEY, payload BLOB NOT NULL, qos INTEGER NOT NULL,
        properties BLOB NOT NULL, expires REAL
    );
    CREATE TABLE session (
        number INTEGER PRIMARY KEY, client_id TEXT NOT NULL, user TEXT, expiry_s REAL,
        absent_since REAL
    );
    CREATE TABLE subscription (
        session INTEGER, share TEXT, filter TEXT, qos INTEGER NOT NULL, no_local INTEGER NOT NULL,
        retain_as_published INTEGER NOT NULL, identifier INTEGER,
        PRIMARY KEY (session, share, filter)
    ) WITHOUT ROWID;
    CREATE TABLE received (
        session INTEGER, packet_id INTEGER, PRIMARY KEY (session, packet_id)
    ) WITHOUT ROWID;
    CREATE TABLE message (
        number INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL,
        qos INTEGER NOT NULL, retain INTEGER NOT NULL, properties BLOB NOT NULL, expires REAL
    );
    CREATE TABLE delivery (
        session INTEGER, number INTEGER, message INTEGER NOT NULL, qos INTEGER NOT NULL,
        retain INTEGER NOT NULL, identifiers TEXT NOT NULL, packet_id INTEGER NOT NULL,
        is_received INTEGER NOT NULL, PRIMARY KEY (session, number)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE delivery ADD COLUMN share TEXT;
    CREATE TABLE will (
        session INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL,
        qos INTEGER NOT NULL, retain INTEGER NOT NULL, properties BLOB NOT NULL, due REAL
    );
    """,
)

VERSION = len(_MIGRATIONS)
"""Of the schema. A new one appends to `_MIGRATIONS` what leads to it."""

OWNED_TABLES = ("subscription", "received", "delivery", "will")
"""What goes away with its session."""

_PAGE_BYTES = 4096
_BUSY_S = 1.0
"""How long another program may keep the file for itself before that counts as a refusal."""

_MAX_WAL_BYTES = 16 * 1024 * 1024

_NO_SHARED_MEMORY = (sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE)


def open_file(path: Path, max_bytes: int) -> sqlite3.Connection:
    """Open or make the file; raises EngineError for one of a newer Fieldgate, and sqlite3.Error.

    On a full disk there may be no room for the memory that readers of a file share: then it is
    opened for us alone, and what it holds is there all the same.
    """
    try:
        return _opened(path, max_bytes, "NORMAL")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in _NO_SHARED_MEMORY:
            raise
        return _opened(path, max_bytes, "EXCLUSIVE")


def is_corrupt(error: Exception) -> bool:
    """Whether the file is to blame, and not the disk or its rights."""
    if not isinstance(error, sqlite3.Error):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _opened(path: Path, max_bytes: int, locking: str) -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        file.execute(f"PRAGMA locking_mode = {locking}")
        _prepare(file, path, max_bytes)
    except BaseException:
        file.close()
        raise
    return file


def _prepare(file: sqlite3.Connection, path: Path, max_bytes: int) -> None:
    (found,) = file.execute("PRAGMA user_version").fetchone()
    if found > VERSION:
        raise EngineError(
            f"{path} was written by a newer Fieldgate (its schema is {found}, ours is"
            f" {VERSION}): use that version, or move the file away to start without it."
        )
    if not found:
        file.execute("PRAGMA auto_vacuum = INCREMENTAL")
    file.execute("PRAGMA journal_mode = WAL")
    file.execute(f"PRAGMA journal_size_limit = {_MAX_WAL_BYTES}")
    file.execute(f"PRAGMA max_page_count = {max_bytes // _PAGE_BYTES}")
    for version, migration in enumerate(_MIGRATIONS[found:], found + 1):
        file.executescript(f"BEGIN IMMEDIATE; {migration} PRAGMA user_version = {version}; COMMIT;")
