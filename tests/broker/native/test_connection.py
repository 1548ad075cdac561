"""One client's connection among others: floods, slow readers, junk."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from contextlib import suppress

import pytest

from broker.link import QoS
from broker.native.connection import HIGH_WATER
from broker.native.encode import encode
from broker.native.field import variable_integer
from broker.native.packet import (
    Connack,
    Connect,
    Pingreq,
    Puback,
    Publish,
    Subscribe,
    SubscribeRequest,
    Unsubscribe,
    Version,
    Will,
)
from broker.password import hash_password
from tests.broker.native.peer import EVERY_VERSION, V5, V311, served
from tests.real_ends import until

PINGS = encode(Pingreq(), V5) * 500_000
SUBSCRIBES = b"".join(
    encode(packet, V5)
    for number in range(20_000)
    for packet in (
        Subscribe(1, (SubscribeRequest(f"x/{number}/#"),)),
        Unsubscribe(1, (f"x/{number}/#",)),
    )
)


@pytest.mark.parametrize("flood", [PINGS, SUBSCRIBES], ids=["pings", "subscribes"])
async def test_a_flood_of_cheap_packets_is_worked_off_while_others_are_served(
    flood: bytes,
) -> None:
    async with served() as broker, broker.peer("flooder") as flooder, broker.peer("one") as one:

        async def read_all() -> None:
            flooder.send(flood, Publish("end", b"", QoS.AT_LEAST_ONCE, packet_id=1))
            while not isinstance(await flooder.read(), Puback):
                pass

        over = asyncio.create_task(read_all())
        answered = 0
        while not over.done():
            await one.settled()
            answered += 1
        await over
        assert answered > 20, "others had their turns"
        assert await flooder.settled() == []


def deaf(port: int) -> socket.socket:
    """A connection with as small a receive buffer as there is."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


async def test_a_subscriber_that_never_reads_costs_bounded_memory_and_slows_nobody() -> None:
    payload = bytes(10_000)
    async with served() as broker, broker.peer("one") as one, broker.peer("publisher") as publisher:
        await one.subscribe("a")
        with deaf(broker.port) as sock:
            sock.send(encode(Connect(V311, "deaf"), V311))
            sock.send(encode(Subscribe(1, (SubscribeRequest("a"),)), V311))
            await until(lambda: broker.core.census().subscriptions == 2, "it has subscribed")
            tracemalloc.start()
            try:
                for _ in range(20):
                    publisher.send(*[Publish("a", payload)] * 100)
                    await publisher.settled()
                    assert len(await one.messages()) == 100
                current, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert current < 4 * HIGH_WATER
            assert broker.core.census().dropped > 1000


async def test_a_subscriber_that_says_it_is_done_and_never_reads_the_rest_is_gone_soon() -> None:
    async with served() as broker, broker.peer("publisher") as publisher:
        with deaf(broker.port) as sock:
            sock.send(encode(Connect(V311, "deaf"), V311))
            sock.send(encode(Subscribe(1, (SubscribeRequest("a"),)), V311))
            await until(lambda: broker.core.census().subscriptions == 1, "it has subscribed")
            while not broker.core.census().dropped:  # until nothing more goes in
                publisher.send(*[Publish("a", bytes(10_000))] * 100)
                await publisher.settled()
            sock.shutdown(socket.SHUT_WR)
            await until(lambda: broker.core.census().clients == 1, "it is gone")


async def test_what_a_subscriber_that_froze_is_owed_comes_when_it_reads_again() -> None:
    async with (
        served() as broker,
        broker.peer("publisher") as publisher,
        broker.peer("frozen") as frozen,
    ):
        await frozen.subscribe("a", qos=QoS.AT_LEAST_ONCE)
        for number in range(1000):
            publisher.send(
                Publish("a", b"%d " % number + b"x" * 10_000, QoS.AT_LEAST_ONCE, packet_id=1)
            )
        assert len(await publisher.settled()) == 1000
        got = [int(message.payload.split()[0]) for message in await frozen.messages()]
        assert got == list(range(1000))


async def test_a_client_that_reads_no_answers_gets_no_more_of_them() -> None:
    async with served() as broker, broker.peer("one") as one:
        with deaf(broker.port) as sock:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, encode(Connect(V5, "deaf"), V5))
            sending = asyncio.create_task(loop.sock_sendall(sock, PINGS * 20))
            counters, heard = broker.core.counters, 0
            await until(lambda: counters.bytes_received > HIGH_WATER, "the flood has begun")
            while heard + 1000 < counters.bytes_received:
                heard = counters.bytes_received
                await asyncio.sleep(0.3)
                assert await one.settled() == []
            assert not sending.done(), "it is not read from any more"
            assert counters.bytes_sent < 10 * HIGH_WATER
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending


async def test_a_replay_into_a_full_connection_goes_on_when_its_client_reads() -> None:
    count, payload = 400, bytes(20_000)
    async with served() as broker, broker.peer("publisher") as publisher:
        for number in range(count):
            publisher.send(Publish(f"a/{number}", payload, retain=True))
        await publisher.settled()
        async with broker.peer("late") as late:
            late.send(Subscribe(1, (SubscribeRequest("#"),)), Publish("end", b"sentinel"))
            await asyncio.sleep(0.2)
            await publisher.settled()
            messages = await late.messages()
            assert len(messages) == count + 1
            assert messages[-1].topic == "end", "what is behind a SUBSCRIBE comes behind its replay"


@pytest.mark.parametrize("moment", ["auth", "replay", "slice"])
async def test_a_client_may_vanish_at_any_moment(moment: str) -> None:
    users = (
        f'users: {{ann: {{password: "{hash_password("x")}"}}}}\n'
        'rules: [{user: "*", allow: [publish, subscribe], topics: ["#"]}]'
    )
    async with served(users) as broker, broker.peer("one") as one:
        for number in range(2000):
            one.send(Publish(f"a/{number}", b"x", retain=True))
        await one.settled()
        async with broker.opened() as peer:
            name = "ann" if moment == "auth" else None
            password = b"x" if moment == "auth" else None
            will = Will("will", b"x")
            peer.send(Connect(V5, "two", username=name, password=password, will=will))
            if moment != "auth":
                await peer.expect(Connack)
                peer.send(PINGS if moment == "slice" else b"")
                peer.send(Subscribe(1, (SubscribeRequest("#"),)))
            await peer.writer.drain()
            peer.vanish()
        await until(lambda: len(broker.connections) == 1, "it is noticed")
        assert broker.core.census().clients == 1
        assert await one.settled() == []


@pytest.mark.parametrize("version", EVERY_VERSION)
async def test_packets_may_be_cut_anywhere(version: Version) -> None:
    async with served() as broker, broker.opened(version) as peer:
        data = b"".join(
            encode(packet, version)
            for packet in (
                Connect(version, "one"),
                Subscribe(1, (SubscribeRequest("a", QoS.AT_MOST_ONCE),)),
                Publish("a", b"x" * 200),
            )
        )
        for at in range(len(data)):
            peer.send(data[at : at + 1])
            await asyncio.sleep(0)
        await peer.expect(Connack)
        assert len(await peer.settled()) == 2


async def test_who_is_not_known_yet_can_not_send_much() -> None:
    async with served() as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(b"\x10" + variable_integer(300_000))  # no more of this CONNECT is awaited
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        async with broker.peer("known") as known:
            known.send(Publish("a", bytes(300_000), QoS.AT_LEAST_ONCE, packet_id=1))
            assert isinstance(await known.read(), Puback)
