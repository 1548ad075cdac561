"""The store in the data folder: opened, or put aside where it is damaged, and what it held."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Error as SqliteError

from broker.access import User
from broker.errors import PacketError
from broker.native.backlog import Backlog
from broker.native.contents import Contents, StoredSession
from broker.native.core import Restored
from broker.native.database import MAX_FILE_BYTES, Database, Durability
from broker.native.mqtt_session import MqttSession
from broker.native.record import OFF_STORE, Store
from broker.native.routed import Routed
from broker.native.schema import is_corrupt
from broker.native.session_record import SessionRecord
from broker.native.store import GATHER_S, RETRY_S, DurableStore
from broker.native.writer_thread import WriterThread

log = logging.getLogger(__name__)

FILE = "broker.sqlite"


@dataclass(frozen=True, slots=True)
class EarlierLife:
    """What a broker goes on with."""

    was_stopped: bool = True
    retained: list[Routed] = field(default_factory=list)
    sessions: Iterable[Restored] = ()
    """Each is made when its turn comes."""


@asynccontextmanager
async def opened(
    folder: Path | None,
    backlog: Backlog | None = None,
    *,
    durability: Durability = "process",
    gather_s: float = GATHER_S,
    retry_s: float = RETRY_S,
    max_bytes: int = MAX_FILE_BYTES,
) -> AsyncIterator[tuple[Store, EarlierLife]]:
    """The store in a folder, and what it holds; without a folder, one that keeps nothing.

    Raises EngineError for a file of a newer Fieldgate. A file that is damaged is put aside; where
    there can be none, the broker goes on in memory. Both are logged. What the sessions are owed
    is counted in `backlog`.
    """
    backlog = backlog or Backlog()
    if folder is None:
        yield OFF_STORE, EarlierLife()
        return
    loop = asyncio.get_running_loop()
    thread = WriterThread("broker-store")
    path = folder / FILE
    offset = time.time() - loop.time()

    def load() -> tuple[Database, Contents]:
        try:
            return _load(path, durability, max_bytes, offset)
        except (SqliteError, ValueError, TypeError, PacketError) as error:
            if not is_corrupt(error):
                raise
            _put_aside(path, error)
            return _load(path, durability, max_bytes, offset)

    try:
        found: tuple[Database, Contents] | None = None
        try:
            found = await loop.run_in_executor(thread, load)
        except (SqliteError, OSError) as error:
            log.error(
                "%s can't be used (%s): retained messages and sessions are in memory only and end"
                " with this process. Make the folder of the config's `data` writable.",
                path,
                error,
            )
        if found is None:
            yield OFF_STORE, EarlierLife()
            return
        database, contents = found
        store = DurableStore(
            database, thread, contents.next_number, gather_s=gather_s, retry_s=retry_s
        )
        sessions = (_restored(store, each, backlog) for each in contents.sessions)
        earlier = EarlierLife(contents.was_stopped, contents.retained, sessions)
        del found, contents, sessions  # it is all the broker's now
        try:
            yield store, earlier
        finally:
            await store.close()
    finally:
        thread.shutdown(wait=False)


def _load(
    path: Path, durability: Durability, max_bytes: int, offset: float
) -> tuple[Database, Contents]:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = Database(path, durability=durability, max_bytes=max_bytes)
    try:
        return database, database.load(offset)
    except BaseException:
        database.close(is_complete=False)
        raise


def _put_aside(path: Path, error: Exception) -> None:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(f"{aside}{suffix}")
    log.error(
        "%s is damaged (%s): it is kept as %s, and the broker begins without retained messages"
        " and sessions.",
        path,
        error,
        aside.name,
    )


def _restored(store: DurableStore, stored: StoredSession, backlog: Backlog) -> Restored:
    row = stored.row
    session = MqttSession(row.client_id, User(row.user), backlog=backlog)
    session.expiry_s = row.expiry_s
    session.record = SessionRecord(store, stored.number, has_will=stored.will is not None)
    session.restore(stored.received, stored.deliveries)
    left_s = row.expiry_s
    if row.absent_since is None:  # it was connected when the process ended
        store.left(session)
    elif left_s is not None:
        # A machine without a clock of its own may come up in the past.
        left_s = max(0.0, left_s - max(0.0, time.time() - row.absent_since))
    return Restored(session, tuple(stored.grants), left_s, stored.will)
