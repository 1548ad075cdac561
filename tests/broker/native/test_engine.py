from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect as websocket
from websockets.typing import Subprotocol

from broker.access import NoUsers
from broker.errors import ListenError
from broker.native import engine
from broker.native.arrivals import Arrivals
from broker.native.counters import Counters
from tests.broker.native.listening import listening
from tests.mqtt_packets import connect, connected, deaf_subscriber, opened, publish
from tests.real_ends import DEADLINE_S, until

V5 = ("MQTT", 5)
SHUTTING_DOWN = 0x8B


async def test_one_connection_too_many_is_closed_and_counted_and_the_others_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("broker.native.arrivals.MAX_CONNECTIONS", 1)
    async with listening("mqtt") as broker:
        (port,) = broker.ports
        async with connected(port, "first") as first, opened(port, connect("second")) as second:
            with pytest.raises(EOFError):
                await second.read()
            assert await first.ping() == []
            assert broker.counters.refused == 1
        await until(lambda: not broker.counters.open, "the first has gone")
        async with connected(port, "third"):
            pass


ADDRESSES = st.sampled_from(["127.0.0.1", "::1", "192.0.2.1", "192.0.2.2", "2001:db8::1"])


@given(st.lists(st.tuples(st.booleans(), ADDRESSES)))
def test_no_address_has_more_than_its_share_and_loopback_has_all(
    moves: list[tuple[bool, str]],
) -> None:
    counters = Counters()
    arrivals = Arrivals(counters, max_connections=5, max_per_address=2)
    there: list[str] = []
    for comes, address in moves:
        if comes:
            is_local = address in ("127.0.0.1", "::1")
            has_room = len(there) < 5 and (is_local or there.count(address) < 2)
            assert arrivals.enter(address) is has_room
            there += [address] * has_room
        elif address in there:
            there.remove(address)
            arrivals.leave(address)
        assert counters.open == len(there)
    assert counters.connections + counters.refused + counters.refused_by_address == sum(
        comes for comes, _ in moves
    )


async def test_out_of_file_descriptors_it_pauses_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("broker.native.listener.PAUSE_S", 0.05)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with listening("mqtt") as broker, connected(broker.ports[0], "first") as first:
        with socket.socket() as late:
            late.setblocking(False)
            lowest_free = os.dup(late.fileno())
            os.close(lowest_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
            try:
                with pytest.raises(BlockingIOError):
                    late.connect(("127.0.0.1", broker.ports[0]))
                await until(lambda: broker.counters.accepting_paused >= 2, "it pauses")
                assert await first.ping() == []
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await until(lambda: broker.counters.open == 2, "it accepts again")
    said = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert said == [
        "no connection can be accepted for now: Too many open files",
        "connections are accepted again",
    ]


async def test_a_port_that_is_taken_leaves_nothing_open() -> None:
    async with listening("mqtt") as broker:
        tasks = asyncio.all_tasks()
        urls = ["mqtt://127.0.0.1:0", *broker.urls]
        with pytest.raises(ListenError, match="is taken"):
            async with engine.running(urls, NoUsers(), anonymous=True):
                pytest.fail("two listen on one port")
        assert asyncio.all_tasks() == tasks


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_it_stops_in_time_whatever_its_clients_do(
    new_loop: Callable[[], asyncio.AbstractEventLoop], certificates: Path
) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(stop_with_all_kinds_of_clients(certificates))


async def stop_with_all_kinds_of_clients(certificates: Path) -> None:
    tasks_before = asyncio.all_tasks()
    trusting = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    mqtt = [Subprotocol("mqtt")]
    async with (
        asyncio.timeout(None) as deadline,
        listening("mqtt", "mqtts", "ws", "wss", certificates=certificates) as broker,
    ):
        tcp, tls, _, _ = broker.ports
        silent = await asyncio.open_connection("127.0.0.1", tcp)
        shaking = await asyncio.open_connection("127.0.0.1", tls)
        encrypted = await asyncio.open_connection("127.0.0.1", tls, ssl=trusting)
        encrypted[1].write(connect("encrypted", protocol=V5))
        await encrypted[0].read(1000)
        idle_page = await websocket(broker.urls[2], subprotocols=mqtt, proxy=None)
        pages = [
            await websocket(broker.urls[2], subprotocols=mqtt, proxy=None),
            await websocket(broker.urls[3], subprotocols=mqtt, proxy=None, ssl=trusting),
        ]
        for number, page in enumerate(pages):
            await page.send(connect(f"page{number}", protocol=V5))
            await page.recv()
        old_context, new_context = connected(tcp, "old"), opened(tcp, connect("new", protocol=V5))
        old, new = await old_context.__aenter__(), await new_context.__aenter__()
        assert (await new.read()).body[1] == 0
        deaf_context = deaf_subscriber(tcp, "flood")
        await deaf_context.__aenter__()
        await asyncio.sleep(0.2)
        await old.send(*[publish("flood", bytes(100_000))] * 100)
        await old.ping()
        deadline.reschedule(asyncio.get_running_loop().time() + DEADLINE_S)
    farewell = await new.read()
    assert (farewell.type, farewell.body[0]) == (14, SHUTTING_DOWN)
    for client in (old, new):
        with pytest.raises(EOFError):
            await client.read()
    assert (await encrypted[0].read()).startswith(bytes([0xE0, len(farewell.body)]))
    for page in pages:
        assert (await page.recv())[0] == 0xE0
        await page.wait_closed()
        assert page.close_code == 1000
    await idle_page.wait_closed()
    for context in (deaf_context, old_context, new_context):
        await context.__aexit__(None, None, None)
    for _, writer in (silent, shaking, encrypted):
        writer.close()
    await asyncio.sleep(0.05)
    assert not [task for task in asyncio.all_tasks() - tasks_before if not task.done()]
