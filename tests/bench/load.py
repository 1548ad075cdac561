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
from typing import Protocol

import psutil

from tests.bench.outlet import Outlet
from tests.bench.receiver import Receiver
from tests.bench.side import Side
from tests.bench.stamp import PAYLOAD_BYTES, latencies_ns, payload, percentile
from tests.real_ends import until

TOPICS = 100
WARM_UP_S = 0.5
SETTLE_S = 8.0
"""How long what is on its way may take to arrive; what doesn't is lost."""

TIMED_SESSIONS = 100
"""Of more than that only every so-many-th is timed, or the generator would be the bottleneck."""

_TICK_S = 0.001

Send = Callable[[int], Awaitable[None]]
"""Sends so many messages or lines, at once."""


class Publisher:
    """Publishes to `<under>/0` … `<under>/99` in turn, QoS 0."""

    def __init__(self, outlet: Outlet, under: str) -> None:
        self._outlet = outlet
        packets = [outlet.packet(f"{under}/{n}", bytes(PAYLOAD_BYTES)) for n in range(TOPICS)]
        self._heads = cycle([packet[:-PAYLOAD_BYTES] for packet in packets])
        self.sent = 0

    async def send(self, count: int) -> None:
        content = payload(time.monotonic_ns())
        await self._outlet.send(*[head + content for head in islice(self._heads, count)])
        self.sent += count

    async def nudge(self, packets: bytes) -> None:
        """Send something that is no message."""
        if packets:
            await self._outlet.send(packets)


@asynccontextmanager
async def publishing(side: Side, under: str) -> AsyncIterator[Publisher]:
    """A publisher at a side."""
    async with side.open_outlet(side.mqtt_port) as outlet:
        yield Publisher(outlet, under)


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU seconds of all cores: a side's servers, this process, and everybody else."""

    servers_s: float
    own_s: float
    elsewhere_s: float


class Measured(Protocol):
    """Whatever is compared."""

    @property
    def name(self) -> str: ...

    @property
    def processes(self) -> Sequence[psutil.Process]:
        """All its servers."""


class CpuClock:
    """Tells the CPU time since it was made."""

    def __init__(self, side: Measured) -> None:
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
    side: Side,
    publisher: Publisher,
    receivers: Sequence[Receiver],
    seconds: float,
    window: int,
    *,
    watched: int = TOPICS,
) -> Flow:
    """Publish as fast as the slowest session receives, at most `window` messages ahead of it.

    So nothing has to be dropped anywhere, and the rate is one that lasts. Each session watches so
    many of the topics; where that isn't all of them, all are published by turns as often.
    """
    before = [receiver.count for receiver in receivers]
    sent_before = publisher.sent
    step = 1 if watched == TOPICS else TOPICS

    def behind() -> int:
        """For how many messages back the slowest session has not seen what it watches."""
        seen = min(r.count - b for r, b in zip(receivers, before, strict=True))
        return publisher.sent - sent_before - seen * TOPICS // watched

    async def run(duration_s: float) -> None:
        end = time.monotonic() + duration_s
        while time.monotonic() < end:
            room = min(window - behind(), 500) // step * step
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
    lost = (publisher.sent - sent_before) * watched // TOPICS * len(receivers)
    lost -= sum(r.count - b for r, b in zip(receivers, before, strict=True))
    return Flow(flow_s, sent, deliveries, lost, cpu)


@dataclass(frozen=True, slots=True)
class Delay:
    """What a load at a rate came to; latencies in ms from publish to delivery."""

    p50_ms: float
    p99_ms: float
    messages: int
    lost: int
    cpu: CpuTime


async def at_rate(
    side: Measured,
    send: Send,
    receivers: Sequence[Receiver],
    rate: float,
    seconds: float,
) -> Delay:
    """Send at a rate, and record when what arrives, at about a hundred of the sessions."""
    before = _counts(receivers)
    sent = await paced(send, rate, min(WARM_UP_S, seconds))
    await _arrived(receivers, before, sent)
    since_ns = time.monotonic_ns()
    timed = receivers[:: max(1, len(receivers) // TIMED_SESSIONS)]
    for receiver in timed:
        receiver.chunks = []
    before, clock = _counts(receivers), CpuClock(side)
    sent = await paced(send, rate, seconds)
    cpu = clock.read()
    await _arrived(receivers, before, sent)
    came = sum(_counts(receivers)) - sum(before)
    found: list[int] = []
    for receiver in timed:
        found += latencies_ns(receiver.chunks or (), since_ns)
        receiver.chunks = None
    found.sort()
    return Delay(
        p50_ms=percentile(found, 50) / 1e6,
        p99_ms=percentile(found, 99) / 1e6,
        messages=sent,
        lost=sent * len(receivers) - came,
        cpu=cpu,
    )


def _counts(receivers: Sequence[Receiver]) -> list[int]:
    return [receiver.count for receiver in receivers]


async def _arrived(receivers: Sequence[Receiver], before: Sequence[int], sent: int) -> None:
    """Wait until each session has got so many, but no longer than what is lost would take."""
    await settled(lambda: all(r.count - b >= sent for r, b in zip(receivers, before, strict=True)))


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
