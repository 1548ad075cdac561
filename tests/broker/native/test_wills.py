"""Wills outlive the process with their sessions, and all together have a bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.link import QoS
from broker.native.packet import Connack, Connect, Disconnect, Version, Will
from broker.native.properties import Properties
from broker.native.reason import Reason
from tests.broker.native.peer import V5, V311, Served, served
from tests.broker.native.test_store import crashed, database, running
from tests.real_ends import until

Q1 = QoS.AT_LEAST_ONCE
LASTS = Properties(session_expiry_interval_s=3600)
WITH_WILL = Disconnect(Reason.DISCONNECT_WITH_WILL_MESSAGE)


def will(delay_s: int, topic: str = "gone/device") -> Will:
    return Will(topic, b"gone", Q1, properties=Properties(will_delay_interval_s=delay_s))


async def keep_watcher(broker: Served) -> None:
    """A session that is owed what was published to gone/#, also by a broker that just began."""
    async with broker.peer("watcher", properties=LASTS) as watcher:
        await watcher.subscribe("gone/#", qos=Q1)
        await watcher.leave()


async def watched(broker: Served) -> list[str]:
    async with broker.peer("watcher", clean_start=False, properties=LASTS) as watcher:
        return [each.topic for each in await watcher.messages()]


async def test_who_was_connected_when_the_broker_was_killed_has_its_will_published(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with running(data) as first:
        broker = Served(first.core, first.port, set())
        await keep_watcher(broker)
        async with (
            broker.peer("device", properties=LASTS, will=will(0)) as device,
            broker.peer("other", V311, clean_start=False, will=will(0, "gone/other")) as other,
            broker.peer("polite", properties=LASTS, will=will(0, "gone/polite")) as polite,
        ):
            await polite.leave()
            for peer in (device, other):  # what is on the disk
                await peer.subscribe("a", qos=Q1)
            copy = crashed(data)
    async with running(copy) as again:
        assert sorted(await watched(Served(again.core, again.port, set()))) == [
            "gone/device",
            "gone/other",
        ]
    with database(copy) as file:
        assert file.execute("SELECT count(*) FROM will").fetchone() == (0,)


async def test_a_delayed_will_waits_on_over_a_crash(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running(data) as first:
        broker = Served(first.core, first.port, set())
        await keep_watcher(broker)
        for name in ("late", "back", "due"):
            async with broker.peer(
                name, properties=LASTS, will=will(1000, f"gone/{name}")
            ) as device:
                await device.leave(WITH_WILL)
        async with broker.peer("witness", properties=LASTS) as witness:
            await witness.subscribe("a")  # all of it is on the disk
        copy = crashed(data)
    with database(copy) as file:
        file.execute("UPDATE will SET due = due - 1001 WHERE topic = 'gone/due'")
        file.execute("UPDATE will SET due = due - 999 WHERE topic = 'gone/late'")
    async with running(copy) as again:
        broker = Served(again.core, again.port, set())
        assert await watched(broker) == ["gone/due"]
        assert len(again.core.wills) == 2
        async with broker.peer("back", clean_start=False, properties=LASTS) as device:
            assert device.connack.session_present
        await until(lambda: not len(again.core.wills), "the late one is due")
        assert await watched(broker) == ["gone/late"]


async def test_a_will_is_published_once_however_often_the_broker_is_killed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with running(data) as first:
        broker = Served(first.core, first.port, set())
        await keep_watcher(broker)
        async with broker.peer("device", properties=LASTS, will=will(0)) as device:
            await device.subscribe("a")
            copy = crashed(data)
    for _ in range(3):
        async with running(copy) as again:
            broker = Served(again.core, again.port, set())
            async with broker.peer("witness", properties=LASTS) as witness:
                await witness.subscribe("a")
            copy = crashed(copy)
    async with running(copy) as again:
        assert await watched(Served(again.core, again.port, set())) == ["gone/device"]


async def test_a_broker_that_is_stopped_publishes_wills_and_keeps_none(tmp_path: Path) -> None:
    async with running(tmp_path) as first:
        broker = Served(first.core, first.port, set())
        await keep_watcher(broker)
        async with broker.peer("device", properties=LASTS, will=will(1000)) as device:
            await device.leave(WITH_WILL)
    with database(tmp_path) as file:
        assert file.execute("SELECT count(*) FROM will").fetchone() == (0,)
    async with running(tmp_path) as again:
        assert await watched(Served(again.core, again.port, set())) == ["gone/device"]


@pytest.mark.parametrize(
    ("version", "reason"),
    [(V5, Reason.QUOTA_EXCEEDED), (V311, Reason.SERVER_UNAVAILABLE)],
)
async def test_a_will_that_finds_no_room_is_refused_and_counted(
    monkeypatch: pytest.MonkeyPatch, version: Version, reason: Reason
) -> None:
    monkeypatch.setattr("broker.native.wills.MAX_BYTES", 10_000)
    large = Will("gone/device", bytes(6000))
    async with served() as broker:
        async with broker.peer("one", version, will=large) as one:
            async with broker.opened(version) as two:
                two.send(Connect(version, "two", will=large))
                assert (await two.expect(Connack)).reason is reason
            assert broker.core.wills.refused == 1
            await one.leave()
        async with broker.peer("two", version, will=large):
            assert len(broker.core.wills) == 1
        await broker.gone()
        assert (len(broker.core.wills), broker.core.wills.bytes) == (0, 0)
