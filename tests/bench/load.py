"""How messages are published: as fast as they arrive, or at a rate."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice

import psutil

from tests.bench.receiver import Receiver
from tests.bench.side import Side
from tests.bench.stamp import PAYLOAD_BYTES, latencies_ns, payload, percentile
from tests.mqtt_packets import Client, connected, publish
from tests.real_ends import until

TOPICS = 100
WARM_UP_S = 0.5
SETTLE_S = 8.0
"""How long what is on its way may take to arrive; what doesn't is lost."""

_TICK_S = 0.001

Send = Callable[[int], Awaitable[None]]
"""Sends so many messages or lines, at once."""


class Publisher:
    """Publishes to `<under>/0` … `<under>/99` in turn, QoS 0."""

    def __init__(self, client: Client, under: str) -> None:
        self._client = client
        heads = [publish(f"{under}/{n}", bytes(PAYLOAD_BYTES)) for n in range(TOPICS)]
        self._heads = cycle([head[:-PAYLOAD_BYTES] for head in heads])
        self.sent = 0

    async def send(self, count: int) -> None:
        content = payload(time.monotonic_ns())
        await self._client.send(*[head + content for head in islice(self._heads, count)])
        self.sent += count

    async def nudge(self, packets: bytes) -> None:
        """Send something that is no message."""
        await self._client.send(packets)


@asynccontextmanager
async def publishing(side: Side, under: str) -> AsyncIterator[Publisher]:
    """A publisher at a side's broker."""
    async with connected(side.mqtt_port, "bench-publisher") as client:
        yield Publisher(client, under)


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU seconds of all cores: a side's servers, this process, and everybody else."""

    servers_s: float
    own_s: float
    elsewhere_s: float


class CpuClock:
    """Tells the CPU time since it was made."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._began = self._now()

    def read(self) -> CpuTime:
        servers, own, machine = map(operator.sub, self._now(), self._began)
        return CpuTime(servers, own, max(0.0, machine - servers - own))

    def _now(self) -> tuple[float, float, float]:
        servers = [process.cpu_times() for process in self._side.processes]
        machine = psutil.cpu_times()
        return (
            sum(times.user + times.system for times in servers),
            time.process_time(),
            sum(machine) - machine.idle - machine.iowait - machine.guest - machine.guest_nice,
        )


@dataclass(frozen=True, slots=True)
class Flow:
    """What a flat-out load came to."""

    seconds: float
    messages: int
    deliveries: int
    lost: int
    cpu: CpuTime


async def flat_out(
    side: Side, publisher: Publisher, receivers: Sequence[Receiver], seconds: float, window: int
) -> Flow:
    """Publish as fast as the slowest session receives, at most `window` messages ahead of it.

    So nothing has to be dropped anywhere, and the rate is one that lasts.
    """
    before = [receiver.count for receiver in receivers]
    sent_before = publisher.sent

    def behind() -> int:
        """How many messages the slowest session still waits for."""
        seen = min(r.count - b for r, b in zip(receivers, before, strict=True))
        return publisher.sent - sent_before - seen

    async def run(duration_s: float) -> None:
        end = time.monotonic() + duration_s
        while time.monotonic() < end:
            room = min(window - behind(), 500)
            if room > 0:
                await publisher.send(room)
                await asyncio.sleep(0)
            else:
                await publisher.nudge(side.nudge)
                await asyncio.sleep(_TICK_S)

    await run(min(WARM_UP_S, seconds))
    began, sent, clock = time.monotonic(), publisher.sent, CpuClock(side)
    counted = sum(receiver.count for receiver in receivers)
    await run(seconds)
    flow_s = time.monotonic() - began
    deliveries = sum(receiver.count for receiver in receivers) - counted
    cpu, sent = clock.read(), publisher.sent - sent
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE_S):
            while behind() > 0:
                await publisher.nudge(side.nudge)
                await asyncio.sleep(_TICK_S)
    lost = (publisher.sent - sent_before) * len(receivers)
    lost -= sum(r.count - b for r, b in zip(receivers, before, strict=True))
    return Flow(flow_s, sent, deliveries, lost, cpu)


@dataclass(frozen=True, slots=True)
class Delay:
    """What a load at a rate came to; latencies in ms from publish to delivery."""

    p50_ms: float
    p99_ms: float
    messages: int
    deliveries: int
    lost: int
    cpu: CpuTime


async def at_rate(
    side: Side,
    send: Send,
    receivers: Sequence[Receiver],
    rate: float,
    seconds: float,
) -> Delay:
    """Send at a rate, and record when what arrives."""
    await paced(send, rate, min(WARM_UP_S, seconds))
    await asyncio.sleep(0.1)
    since_ns = time.monotonic_ns()
    for receiver in receivers:
        receiver.chunks = []
    before, clock = [receiver.count for receiver in receivers], CpuClock(side)
    sent = await paced(send, rate, seconds)
    cpu = clock.read()
    await settled(lambda: all(r.count - b >= sent for r, b in zip(receivers, before, strict=True)))
    found: list[int] = []
    for receiver in receivers:
        found += latencies_ns(receiver.chunks or (), since_ns)
        receiver.chunks = None
    found.sort()
    return Delay(
        p50_ms=percentile(found, 50) / 1e6,
        p99_ms=percentile(found, 99) / 1e6,
        messages=sent,
        deliveries=len(found),
        lost=sent * len(receivers) - len(found),
        cpu=cpu,
    )


async def paced(send: Send, rate: float, seconds: float) -> int:
    """Send at a rate for a while, in ticks of a millisecond; returns how many were sent."""
    began = time.monotonic()
    sent = 0
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * rate) + 1 - sent
        if due > 0:
            await send(due)
            sent += due
        await asyncio.sleep(max(_TICK_S, began + sent / rate - time.monotonic()))
    return sent


async def settled(is_done: Callable[[], bool], deadline_s: float = SETTLE_S) -> None:
    """Wait until it is done, but no longer than that."""
    with contextlib.suppress(AssertionError):
        await until(is_done, "all has arrived", deadline_s)
