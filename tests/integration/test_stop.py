"""The program is stopped with many connections open. `--clients 1000 -s` is the full measure."""

from __future__ import annotations

import asyncio
import resource
import socket
import sqlite3
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path

from broker.link import QoS
from broker.native.packet import Disconnect, Puback, Publish, Version
from broker.native.properties import Properties
from broker.native.reason import Reason
from tests.broker.native.peer import V5, V311, Peer, opened_at, peer_at
from tests.mqtt_packets import connect, subscribe
from tests.program import Program, running
from tests.real_ends import DEADLINE_S

Q1 = QoS.AT_LEAST_ONCE
LASTS = Properties(session_expiry_interval_s=3600)
CONFIG = "broker: {{listeners: ['mqtt://127.0.0.1:0', 'ws://127.0.0.1:0']}}\ndata: {data}\n"


async def never_reads(port: int, number: int) -> socket.socket:
    """A subscriber with as small a receive buffer as there is."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    await loop.sock_sendall(sock, connect(f"frozen{number}") + subscribe("flood"))
    return sock


async def goodbye(peer: Peer) -> Disconnect:
    """What it is told at the end; it reads all that comes before."""
    async with asyncio.timeout(DEADLINE_S):
        return await peer.goodbye()


async def stop_amid(program: Program, count: int) -> None:
    """Let a third of so many clients never read, some not even begin; then stop the program."""
    port = program.broker_port
    async with AsyncExitStack() as stack:

        async def come(name: str, version: Version = V5) -> Peer:
            return await stack.enter_async_context(peer_at(port, name, version, properties=LASTS))

        for number in range(count // 3):
            stack.enter_context(closing(await never_reads(port, number)))
        for number in range(count // 10):
            silent = await stack.enter_async_context(opened_at(port))
            if number % 2:
                silent.send(b"\x10\x20\x00\x04MQTT")
        new = [await come(f"new{number}") for number in range(count // 3)]
        old = [await come(f"old{number}", V311) for number in range(count // 4)]
        away = await come("away")
        await away.subscribe("kept", qos=Q1)
        await away.leave(Disconnect())
        publisher = new[0]
        for _ in range(20):
            publisher.send(Publish("flood", bytes(100_000)))
        for number in range(1, 51):
            publisher.send(Publish("kept", b"%d" % number, Q1, packet_id=number))
        for _ in range(50):
            await publisher.expect(Puback)
        began = time.monotonic()
        stopping = asyncio.create_task(asyncio.to_thread(program.stop))
        told = await asyncio.gather(*map(goodbye, new))
        assert {each.reason for each in told} == {Reason.SERVER_SHUTTING_DOWN}
        for peer in old:
            assert await peer.until_closed() == []
        assert await stopping == 0, program.output
        print(f"\n{count} connections, a third of them frozen: {time.monotonic() - began:.1f} s")


async def test_all_hear_of_the_end_and_everything_is_on_the_disk(
    tmp_path: Path, clients: int
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with running(
            tmp_path, CONFIG.format(data=tmp_path / "data"), "--only", "broker"
        ) as program:
            await stop_amid(program, clients)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with closing(sqlite3.connect(tmp_path / "data" / "broker.sqlite")) as file:
        assert file.execute("SELECT clean FROM stop").fetchone() == (1,)
        assert file.execute("SELECT count(*) FROM delivery").fetchone() == (50,)
        (sessions,) = file.execute("SELECT count(*) FROM session").fetchone()
        assert sessions == clients // 3 + 1
