"""`kill -9` in the midst of a load: what was acknowledged is delivered after the restart."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from broker.link import QoS
from broker.native.packet import Pubcomp, Publish, Pubrec, Pubrel, Will
from broker.native.properties import Properties
from tests.broker.native.peer import peer_at
from tests.mqtt_packets import (
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBLISH,
    Client,
    connect,
    connected,
    opened,
    packet,
    publish,
)
from tests.program import Program, running
from tests.real_ends import until

CONFIG = """
broker: {{engine: native, listeners: ['mqtt://127.0.0.1:0']}}
data: {data}
"""
WINDOW = 50
EXACT = QoS.EXACTLY_ONCE
LASTS = Properties(session_expiry_interval_s=3600)


@contextmanager
def broker(folder: Path) -> Iterator[Program]:
    with running(folder, CONFIG.format(data=folder / "data"), "--only", "broker") as program:
        yield program


@dataclass
class Publisher:
    """Publishes 1, 2, 3… to its topic, each fifth retained, until it is cut off."""

    topic: str
    sent: int = 0
    acknowledged: list[int] = field(default_factory=list)

    def has_reached(self, goal: int) -> bool:
        return len(self.acknowledged) >= goal

    async def run(self, port: int) -> None:
        waiting: dict[int, int] = {}
        with suppress(EOFError, OSError):
            async with connected(port, self.topic.replace("/", "-")) as client:
                while True:
                    while len(waiting) < WINDOW:
                        self.sent += 1
                        waiting[self.sent] = self.sent
                        await client.send(
                            publish(
                                self.topic,
                                str(self.sent).encode(),
                                packet_id=self.sent,
                                retain=self.sent % 5 == 0,
                            )
                        )
                    answer = await client.read()
                    assert answer.type == PUBACK
                    self.acknowledged.append(waiting.pop(int.from_bytes(answer.body, "big")))


@dataclass
class Receiver:
    """A persistent session, and the numbers that it got on each topic."""

    client_id: str
    found: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    async def subscribe_and_leave(self, port: int) -> None:
        async with connected(port, self.client_id, clean=False) as client:
            await client.subscribe("load/+", 1)
            await client.send(DISCONNECT)
            await client.read_until_closed()

    async def stay(self, port: int) -> None:
        """Receive until it is cut off."""
        with suppress(EOFError, OSError):
            async with connected(port, self.client_id, clean=False) as client:
                while True:
                    await self._receive(client)

    async def come_back(self, port: int, publishers: list[Publisher]) -> None:
        """Receive what it is still owed; fails where that doesn't come."""
        async with opened(port, connect(self.client_id, clean=False)) as client:
            (answer,) = await client.read_until(CONNACK)
            assert answer.body[0] == 1, "the session is there"
            while any(
                max(self.found[each.topic], default=0) < each.acknowledged[-1]
                for each in publishers
            ):
                await self._receive(client)

    def check(self, publisher: Publisher) -> None:
        """All that was acknowledged came, and for the first time in its order."""
        found = self.found[publisher.topic]
        assert set(publisher.acknowledged) <= set(found)
        first_times = list(dict.fromkeys(found))
        assert first_times == sorted(first_times)

    async def _receive(self, client: Client) -> None:
        message = await client.read()
        if message.type == PUBLISH:
            self.found[message.topic].append(int(message.payload))
            at = 2 + len(message.topic)
            await client.send(packet(PUBACK << 4, message.body[at : at + 2]))


async def test_every_acknowledged_message_is_delivered_after_kill_minus_nine(
    tmp_path: Path,
) -> None:
    publishers = [Publisher(f"load/{n}") for n in range(4)]
    there, away = Receiver("there"), Receiver("away")
    with broker(tmp_path) as program:
        await away.subscribe_and_leave(program.broker_port)
        await there.subscribe_and_leave(program.broker_port)
        tasks = [asyncio.create_task(there.stay(program.broker_port))]
        tasks += [asyncio.create_task(each.run(program.broker_port)) for each in publishers]
        await until(lambda: all(len(each.acknowledged) > 300 for each in publishers), "a load")
        program.kill()
        await asyncio.gather(*tasks)
    assert there.found
    with broker(tmp_path) as program:
        await there.come_back(program.broker_port, publishers)
        await away.come_back(program.broker_port, publishers)
        retained = await retained_values(program.broker_port)
    for each in publishers:
        there.check(each)
        away.check(each)
        assert len(set(away.found[each.topic])) == len(away.found[each.topic]), "each came once"
        assert each.acknowledged[-1] // 5 * 5 <= retained[each.topic] <= each.sent


async def test_a_broker_that_is_killed_over_and_over_loses_nothing(tmp_path: Path) -> None:
    publisher, away = Publisher("load/0"), Receiver("away")
    with broker(tmp_path) as program:
        await away.subscribe_and_leave(program.broker_port)
        program.kill()
    for _ in range(3):
        goal = len(publisher.acknowledged) + 100
        with broker(tmp_path) as program:
            load = asyncio.create_task(publisher.run(program.broker_port))
            await until(partial(publisher.has_reached, goal), "a load")
            program.kill()
            await load
    with broker(tmp_path) as program:
        await away.come_back(program.broker_port, [publisher])
    away.check(publisher)


@dataclass
class ExactPublisher:
    """Publishes 1, 2, 3… at QoS 2 over as many connections as it takes, as [MQTT-4.4.0-1] says."""

    released: int = 0
    """All up to this one the broker has released."""
    is_received: bool = False
    """Whether it has the one after it."""

    def has_reached(self, goal: int) -> bool:
        return self.released >= goal

    async def run(self, port: int) -> None:
        with suppress(EOFError, OSError):
            async with peer_at(port, "device", clean_start=False, properties=LASTS) as peer:
                is_again = True
                while True:
                    number = self.released + 1
                    packet_id = number % 100 + 1
                    if not self.is_received:
                        payload = b"%d" % number
                        peer.send(
                            Publish("exact/a", payload, EXACT, dup=is_again, packet_id=packet_id)
                        )
                        assert (await peer.expect(Pubrec)).packet_id == packet_id
                        self.is_received = True
                    peer.send(Pubrel(packet_id))
                    assert (await peer.expect(Pubcomp)).packet_id == packet_id
                    self.released, self.is_received, is_again = number, False, False


@dataclass
class ExactReceiver:
    """A persistent session whose client takes each message once, as the specification says."""

    got: list[int] = field(default_factory=list)
    _unreleased: set[int] = field(default_factory=set)

    async def run(self, port: int) -> None:
        with suppress(EOFError, OSError):
            async with peer_at(port, "receiver", clean_start=False, properties=LASTS) as peer:
                if not peer.connack.session_present:
                    await peer.subscribe("exact/+", "gone/+", qos=EXACT)
                while True:
                    match await peer.read():
                        case Publish() as message:
                            if message.packet_id not in self._unreleased:
                                self._unreleased.add(message.packet_id)
                                self.got.append(int(message.payload))
                            peer.send(Pubrec(message.packet_id))
                        case Pubrel() as release:
                            self._unreleased.discard(release.packet_id)
                            peer.send(Pubcomp(release.packet_id))


async def test_what_is_sent_at_qos_2_comes_exactly_once_however_often_the_broker_is_killed(
    tmp_path: Path,
) -> None:
    publisher, receiver = ExactPublisher(), ExactReceiver()
    will = Will("gone/device", b"-1", EXACT)
    with broker(tmp_path) as program:
        first = asyncio.create_task(receiver.run(program.broker_port))
        async with peer_at(program.broker_port, "mortal", properties=LASTS, will=will) as mortal:
            await mortal.subscribe("exact/none", qos=EXACT)  # its session is on the disk
            program.kill()
        await first
    for _ in range(4):
        goal = publisher.released + 50
        with broker(tmp_path) as program:
            tasks = [
                asyncio.create_task(each.run(program.broker_port)) for each in (publisher, receiver)
            ]
            await until(partial(publisher.has_reached, goal), "a load")
            program.kill()
            await asyncio.gather(*tasks)
    with broker(tmp_path) as program:
        last = asyncio.create_task(receiver.run(program.broker_port))
        last_one = publisher.released + publisher.is_received
        await until(lambda: receiver.got[-1] >= last_one, "all that it has")
        program.kill()
        await last
    assert receiver.got[0] == -1, "the will of one who was there when the broker was killed"
    exact = receiver.got[1:]
    assert exact == list(range(1, len(exact) + 1)), "each once, in their order"
    assert len(exact) in (last_one, last_one + 1), "it may have the one that it didn't confirm"


async def retained_values(port: int) -> dict[str, int]:
    async with connected(port, "newcomer") as client:
        packets = await client.subscribe("load/+") + await client.ping()
        return {each.topic: int(each.payload) for each in packets if each.type == PUBLISH}
