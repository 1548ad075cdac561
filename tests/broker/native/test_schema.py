"""The file of an older version is taken over, and one on a full disk can be read."""

from __future__ import annotations

import resource
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from broker.access import NoUsers
from broker.link import QoS
from broker.native.core import Core
from broker.native.data_folder import FILE, opened
from broker.native.routed import Routed
from broker.native.schema import VERSION
from broker.native.store import DurableStore
from tests.broker.native.test_store import (
    come_back,
    crashed,
    database,
    publish_acknowledged,
    running,
    subscribed,
)
from tests.mqtt_packets import connect
from tests.mqtt_packets import opened as connection
from tests.real_ends import until

FIRST_VERSION = """
CREATE TABLE stop (clean INTEGER NOT NULL);
INSERT INTO stop VALUES (1);
CREATE TABLE retained (topic TEXT PRIMARY KEY, payload BLOB NOT NULL, qos INTEGER NOT NULL,
    properties BLOB NOT NULL, expires REAL);
CREATE TABLE session (number INTEGER PRIMARY KEY, client_id TEXT NOT NULL, user TEXT,
    expiry_s REAL, absent_since REAL);
CREATE TABLE subscription (session INTEGER, share TEXT, filter TEXT, qos INTEGER NOT NULL,
    no_local INTEGER NOT NULL, retain_as_published INTEGER NOT NULL, identifier INTEGER,
    PRIMARY KEY (session, share, filter)) WITHOUT ROWID;
CREATE TABLE received (session INTEGER, packet_id INTEGER,
    PRIMARY KEY (session, packet_id)) WITHOUT ROWID;
CREATE TABLE message (number INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL,
    qos INTEGER NOT NULL, retain INTEGER NOT NULL, properties BLOB NOT NULL, expires REAL);
CREATE TABLE delivery (session INTEGER, number INTEGER, message INTEGER NOT NULL,
    qos INTEGER NOT NULL, retain INTEGER NOT NULL, identifiers TEXT NOT NULL,
    packet_id INTEGER NOT NULL, is_received INTEGER NOT NULL,
    PRIMARY KEY (session, number)) WITHOUT ROWID;
INSERT INTO session VALUES (1, 'absent', NULL, NULL, 1000.0);
INSERT INTO subscription VALUES (1, '', 'plant/#', 1, 0, 0, NULL);
INSERT INTO message VALUES (2, 'plant/level', X'37', 1, 0, X'00', NULL);
INSERT INTO delivery VALUES (1, 3, 2, 1, 0, '', 0, 0);
PRAGMA user_version = 1;
"""


async def test_a_file_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    with database(tmp_path) as file:
        file.executescript(FIRST_VERSION)
    async with (
        running(tmp_path) as broker,
        connection(broker.port, connect("absent", clean=False)) as client,
    ):
        assert await come_back(client)
        assert (await client.read()).payload == b"7"
        await publish_acknowledged(broker.port, ("plant/level", b"8"))
        assert (await client.read()).payload == b"8"
    with database(tmp_path) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (VERSION,)


@contextmanager
def full_disk() -> Iterator[Callable[[], None]]:
    """No file may be written to until what it gives is called."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    make_room = partial(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield make_room
    finally:
        make_room()


@pytest.mark.parametrize("was_killed", [False, True])
async def test_on_a_full_disk_it_begins_with_what_it_kept_and_catches_up_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, was_killed: bool
) -> None:
    data = tmp_path / "data"
    async with running(data) as broker:
        await subscribed(broker.port, "absent", "plant/#")
        await publish_acknowledged(broker.port, ("plant/a", b"1"), retain=True)
        copy = crashed(data)
    data = copy if was_killed else data
    (data / f"{FILE}-shm").unlink(missing_ok=True)
    with full_disk() as make_room:
        async with opened(data, retry_s=0.1) as (store, earlier):
            assert isinstance(store, DurableStore)
            assert [each.topic for each in earlier.retained] == ["plant/a"]
            sessions = list(earlier.sessions)
            assert [each.session.client_id for each in sessions] == ["absent"]
            core = Core(NoUsers(), anonymous=True, max_packet_bytes=1000, store=store)
            deque(core.restore(sessions, earlier.retained), maxlen=0)
            core.publish(Routed("plant/b", b"2", QoS.AT_LEAST_ONCE, retain=True))
            await until(lambda: store.failures, "the disk refuses")
            make_room()
            await until(lambda: store.report()["state"] == "ok", "there is room again")
            core.stop()
    assert caplog.text.count("does not take") == 1
    async with running(data) as broker:
        assert broker.core.retained.get("plant/b", 0) is not None
        assert broker.core.backlog.deliveries == 2
