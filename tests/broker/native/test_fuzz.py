"""Junk on live listeners: it ends its own connection, others are served, and memory stays flat.

make test ARGS="tests/broker/native/test_fuzz.py --fuzz-seconds 60 -s"
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from websockets.frames import Frame, Opcode

from broker.access import NoUsers
from broker.link import QoS
from broker.native import engine
from broker.native.encode import encode
from broker.native.packet import (
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    SubscribeRequest,
    Unsubscribe,
    Will,
)
from broker.native.properties import Properties
from tests.broker.native.peer import EVERY_VERSION, Served
from tests.broker.native.test_web_socket import HANDSHAKE
from tests.real_ends import until

ROUND = 30
"""Connections at once."""


def said(source: random.Random) -> bytes:
    """Packets of every kind, from CONNECT on."""
    version = source.choice(EVERY_VERSION)
    topic = source.choice(["a", "a/b", "$SYS/x", "é", "x" * 300])
    qos = QoS(source.randrange(3))
    lasts = Properties(session_expiry_interval_s=source.choice([None, 0, 1, 3600]))
    delay = Properties(will_delay_interval_s=source.choice([None, 1]))
    will = source.choice([None, Will(topic, b"x", qos, properties=delay)])
    client_id = source.choice(["", "c1", "c2", "c3"])
    clean = bool(source.randrange(2))
    connect = Connect(version, client_id, clean, will=will, properties=lasts)
    properties = Properties(
        topic_alias=source.choice([None, 1, 5, 1000]),
        message_expiry_interval_s=source.choice([None, 0, 1]),
        user_properties=source.choice([(), (("k", "v"),)]),
    )
    requests = (SubscribeRequest(source.choice(["#", "+/b", "$share/g/a"]), qos),)
    retain, packet_id = bool(source.randrange(2)), 5 if qos else 0
    payload = source.randbytes(source.randrange(50))
    others: list[Packet] = [
        Publish(topic, payload, qos, retain, packet_id=packet_id, properties=properties),
        Subscribe(3, requests),
        Unsubscribe(3, ("#",)),
        Pubrec(1),
        Pubrel(5),
        Pingreq(),
        Disconnect(),
        connect,
    ]
    packets = [connect, *source.choices(others, k=source.randrange(6))]
    return b"".join(encode(packet, version) for packet in packets)


def spoilt(source: random.Random, whole: bytes) -> bytes:
    """The same, mostly with some bytes changed, some of them nonsense."""
    data = bytearray(whole)
    if source.random() < 0.8:
        for _ in range(source.randrange(1, 5)):
            data[source.randrange(len(data))] = source.randrange(256)
    if source.random() < 0.2:
        data += source.randbytes(200)
    return bytes(data)


def framed(source: random.Random, data: bytes) -> bytes:
    """In WebSocket frames, behind a handshake; either may be spoilt."""
    opcode = source.choice([Opcode.BINARY] * 4 + [Opcode.TEXT, Opcode.PING, Opcode.CLOSE])
    frames = Frame(opcode, data[:100]).serialize(mask=True)
    return HANDSHAKE + frames if source.random() < 0.7 else spoilt(source, HANDSHAKE) + frames


async def annoy(ports: list[int], seed: int) -> None:
    """One connection that says junk and goes, in some way."""
    source = random.Random(seed)
    mqtt, web_socket = ports
    data = spoilt(source, said(source))
    is_web_socket = source.random() < 0.25
    port = web_socket if is_web_socket else mqtt
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError):
        writer.write(framed(source, data) if is_web_socket else data)
        if source.random() < 0.7:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await reader.read(1000)
    if source.random() < 0.5:
        writer.transport.abort()
    else:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_no_junk_ends_anything_but_its_own_connection_nor_costs_memory(
    tmp_path: Path,
    fuzz_seconds: float,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("broker.native.core.MAX_ABSENT_SESSIONS", 20)
    urls = ["mqtt://127.0.0.1:0", "ws://127.0.0.1:0"]
    async with engine.running(urls, NoUsers(), anonymous=True, data=tmp_path) as (broker, real):
        core = broker.core
        core.backlog.max_bytes = 20_000  # full soon, and from then on nothing may grow
        ports = [int(url.rpartition(":")[2]) for url in real]
        served = Served(core, ports[0], set())
        async with served.peer("one") as one, served.peer("two") as two:
            await one.subscribe("own/topic")
            began, slowest_s, rounds = time.monotonic(), 0.0, 0
            used: list[int] = []
            while (passed_s := time.monotonic() - began) < fuzz_seconds or rounds < 50:
                await asyncio.gather(
                    *(annoy(ports, seed) for seed in range(rounds * ROUND, (rounds + 1) * ROUND))
                )
                asked = time.monotonic()
                await two.publish("own/topic", b"%d" % rounds, QoS.EXACTLY_ONCE)
                assert await one.payloads() == [b"%d" % rounds]
                slowest_s = max(slowest_s, time.monotonic() - asked)
                rounds += 1
                if passed_s * 3 >= fuzz_seconds:  # warm by now
                    used.append(psutil.Process().memory_info().rss)
            await until(lambda: core.counters.open == 2, "all the others are gone")
            assert core.census().clients == 2
            assert core.backlog.bytes <= core.backlog.max_bytes
            print(
                f"{rounds * ROUND} connections in {passed_s:.0f} s; others waited"
                f" {1000 * slowest_s:.0f} ms at most; {used[0] / 1e6:.1f} MB after a third,"
                f" {used[-1] / 1e6:.1f} MB at the end; {core.backlog.given_up} messages given up"
            )
            assert used[-1] - used[0] < 5_000_000
    assert not caplog.records, "junk fills no log"
