"""What is measured. Each scenario takes a running side and gives figures by name and unit."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from tests.bench.flask_web import flask_web
from tests.bench.load import (
    TOPICS,
    CpuTime,
    Delay,
    Flow,
    Measured,
    Publisher,
    Send,
    at_rate,
    flat_out,
    paced,
    publishing,
    settled,
)
from tests.bench.nchan import nchan_web
from tests.bench.receiver import Receiver, open_receiver, watching, watching_each
from tests.bench.side import (
    Side,
    fieldgate_embedded,
    fieldgate_web,
    fieldgate_whole,
    mosquitto_web,
)
from tests.bench.stamp import payload, text
from tests.real_ends import until

Figures = dict[str, float]

WINDOW = 4_000
"""Messages on their way at most, flat out: more than any side needs to be busy all the time."""

OWN_TOPICS = 10

_FILL_BYTES = 65_000

_FIRST_LINES_HZ = 250
_BEHIND_S = 0.5
"""How far behind the last line may arrive: what falls behind further would fall for ever."""


@dataclass(frozen=True, slots=True)
class Work:
    """How much of it: `seconds` a measurement, and the sizes that the scenarios' names tell."""

    seconds: float = 5.0
    sessions: int = 100
    crowd: int = 1_000
    topics: int = 10_000
    idle: int = 200
    clients: int = 1_000
    filters: int = 10_000
    newcomers: int = 5
    fill_messages: int = 150
    """10 MB: more than buffers on the way hold, so that the frozen session is known as such."""

    log_messages: int = 70_000
    """More than Fieldgate's log holds."""

    frozen_messages: int = 100_000
    most_lines_hz: float = 50_000


S = TypeVar("S", bound=Measured)
Start: TypeAlias = Callable[[Path], AbstractContextManager[S]]


@dataclass(frozen=True, slots=True)
class Scenario(Generic[S]):
    """`starts` gives ours first, then the peers, if there are any."""

    name: str
    title: str
    measure: Callable[[S, Work], Coroutine[None, None, Figures]]
    starts: tuple[Start[S], ...]


async def one_session(side: Side, work: Work) -> Figures:
    return await _flat_out(side, work, sessions=1)


async def many_sessions(side: Side, work: Work) -> Figures:
    return await _flat_out(side, work, sessions=work.sessions)


async def _flat_out(side: Side, work: Work, *, sessions: int) -> Figures:
    async with (
        watching(side, sessions, "bench/flat/#") as receivers,
        publishing(side, "bench/flat") as publisher,
    ):
        return flow_figures(await flat_out(side, publisher, receivers, work.seconds, WINDOW))


async def own_filters(side: Side, work: Work) -> Figures:
    """Each session watches ten of the hundred topics, and no two of them the same ten."""
    filters = [
        [f"bench/own/{(first + n) % TOPICS}" for n in range(OWN_TOPICS)]
        for first in range(work.sessions)
    ]
    async with (
        watching_each(side, filters) as receivers,
        publishing(side, "bench/own") as publisher,
    ):
        return flow_figures(
            await flat_out(side, publisher, receivers, work.seconds, WINDOW, watched=OWN_TOPICS)
        )


def flow_figures(flow: Flow) -> Figures:
    """What a flat-out load came to, as figures."""
    return {
        "deliveries/s": flow.deliveries / flow.seconds,
        "CPU of servers, µs a message": 1e6 * flow.cpu.servers_s / max(1, flow.messages),
        **_cpu_figures(flow.cpu, flow.seconds),
        "lost": flow.lost,
    }


async def steady(side: Side, work: Work) -> Figures:
    return await _at_rate(side, work, work.sessions, 1_000)


async def steady_one(side: Side, work: Work) -> Figures:
    return await _at_rate(side, work, 1, 1_000)


async def busy(side: Side, work: Work) -> Figures:
    return await _at_rate(side, work, work.sessions, 12_000)


async def crowd(side: Side, work: Work) -> Figures:
    return await _at_rate(side, work, work.crowd, 500)


async def _at_rate(side: Side, work: Work, sessions: int, rate: float) -> Figures:
    async with (
        watching(side, sessions, "bench/steady/#") as receivers,
        publishing(side, "bench/steady") as publisher,
    ):
        delay = await at_rate(side, publisher.send, receivers, rate, work.seconds)
        return _delay_figures(delay, work.seconds)


def _delay_figures(delay: Delay, seconds: float) -> Figures:
    return {
        "p50, ms": delay.p50_ms,
        "p99, ms": delay.p99_ms,
        **_cpu_figures(delay.cpu, seconds),
        "lost": delay.lost,
    }


def _cpu_figures(cpu: CpuTime, seconds: float) -> Figures:
    """In percent of one core."""
    return {
        "CPU of servers, %": 100 * cpu.servers_s / seconds,
        "CPU of generator, %": 100 * cpu.own_s / seconds,
    }


async def frozen(side: Side, work: Work) -> Figures:
    receiver = await open_receiver(side, "bench/frozen/#", receive_buffer=1)
    receiver.freeze()
    try:
        async with side.open_outlet(side.mqtt_port) as filler:
            fill = filler.packet("bench/frozen/fill", b"." * _FILL_BYTES)
            for _ in range(work.fill_messages):
                await filler.send(fill)
                await asyncio.sleep(0.002)
            await filler.taken()
        await asyncio.sleep(0.5)
        async with (
            watching(side, work.sessions - 1, "bench/frozen/#") as others,
            publishing(side, "bench/frozen") as publisher,
        ):
            delay = await at_rate(side, publisher.send, others, 1_000, work.seconds)
            return _delay_figures(delay, work.seconds)
    finally:
        receiver.vanish()


async def frozen_memory(side: Side, work: Work) -> Figures:
    """What the server grows by when a session freezes, once the log of messages is full."""
    server = side.processes[0]
    receiver = await open_receiver(side, "bench/frozen/#", receive_buffer=1)
    try:
        async with (
            watching(side, work.sessions - 1, "bench/frozen/#") as others,
            publishing(side, "bench/frozen") as publisher,
        ):
            await _all_delivered(publisher, others, work.log_messages)
            receiver.freeze()
            before = server.memory_info().rss
            await _all_delivered(publisher, others, work.frozen_messages)
            return {"memory grown by, MB": (server.memory_info().rss - before) / 1e6}
    finally:
        receiver.vanish()


async def _all_delivered(
    publisher: Publisher, receivers: Sequence[Receiver], messages: int
) -> None:
    goal = publisher.sent + messages
    while publisher.sent < goal:
        await publisher.send(500)
        await until(lambda: _behind(publisher, receivers) < WINDOW, "sessions keep up")
    await until(lambda: not _behind(publisher, receivers), "all is delivered")


def _behind(publisher: Publisher, receivers: Sequence[Receiver]) -> int:
    return publisher.sent - min(receiver.count for receiver in receivers)


async def newcomer(side: Side, work: Work) -> Figures:
    names = [f"bench/kept/{n // 100}/{n % 100}" for n in range(work.topics)]
    content = payload(time.monotonic_ns())
    times_ms: list[float] = []
    async with side.open_outlet(side.mqtt_port) as keeper:
        watcher = await open_receiver(side, "bench/kept/#")
        for start in range(0, len(names), 500):
            part = names[start : start + 500]
            await keeper.send(*[keeper.packet(name, content, retain=True) for name in part])
            await watcher.reached(start + len(part))
        watcher.vanish()
        for _ in range(work.newcomers):
            began_ns = time.monotonic_ns()
            receiver = await open_receiver(side, "bench/kept/#", newcomer=True)
            ended_ns = await receiver.reached(work.topics)
            times_ms.append((ended_ns - began_ns) / 1e6)
            receiver.vanish()
            await asyncio.sleep(0.05)
        await keeper.send(*[keeper.packet(name, retain=True) for name in names])
        await keeper.taken()
    return {"complete after, ms": statistics.median(times_ms), "worst, ms": max(times_ms)}


async def idle(side: Side, work: Work) -> Figures:
    server = side.processes[0]
    async with watching(side, min(50, work.idle), "bench/idle/#"):
        await asyncio.sleep(0.3)  # the first ones make the server grow for good
        before = server.memory_info().rss
        async with watching(side, work.idle, "bench/idle/#"):
            await asyncio.sleep(0.3)
            grown = server.memory_info().rss - before
    return {"memory, kB a session": grown / 1000 / work.idle}


async def whole_way(side: Side, work: Work) -> Figures:
    say = _speaker(side)
    async with watching(side, 1, "fieldgate/line/sent") as receivers:
        await _until_heard(say, receivers[0])
        delay = await at_rate(side, say, receivers, 20, work.seconds)
        busy = await at_rate(side, say, receivers, 200, work.seconds)
        return {
            "20 lines/s: p50, ms": delay.p50_ms,
            "20 lines/s: p99, ms": delay.p99_ms,
            "200 lines/s: p99, ms": busy.p99_ms,
            "200 lines/s: CPU, s per 1,000 lines": 1000 * busy.cpu.servers_s / busy.messages,
            "lost": delay.lost + busy.lost,
        }


async def most_lines(side: Side, work: Work) -> Figures:
    """The highest rate at which every line arrives, and soon; by doubling, then by halving."""
    say = _speaker(side)
    async with watching(side, 1, "fieldgate/line/sent") as receivers:
        receiver = receivers[0]
        await _until_heard(say, receiver)

        async def arrive_whole(rate: float) -> float:
            """The rate that it really was, or 0 where lines are missing."""
            before, began = receiver.count, time.monotonic()
            sent = await paced(say, rate, work.seconds)
            spent = time.monotonic() - began
            await settled(lambda: receiver.count - before >= sent, _BEHIND_S)
            return sent / spent if receiver.count - before == sent else 0.0

        good, bad = 0.0, 0.0
        rate = float(_FIRST_LINES_HZ)
        while not bad and rate <= work.most_lines_hz:
            real = await arrive_whole(rate)
            if real:
                good, rate = max(good, real), rate * 2
            else:
                bad = rate
                await _quiet(lambda: receiver.count)
        for _ in range(3 if bad else 0):
            rate = (good + bad) / 2
            real = await arrive_whole(rate)
            if real:
                good = max(good, real)
            else:
                bad = rate
                await _quiet(lambda: receiver.count)
    return {"lines/s, all whole": good}


def _speaker(side: Side) -> Send:
    """What says lines on the side's serial line; where the pty is full it waits for its reader."""
    line = side.line
    assert line is not None

    async def say(lines: int) -> None:
        line.say(b"".join([b"sent=%b\n" % text(time.monotonic_ns()) for _ in range(lines)]))

    return say


async def _until_heard(say: Send, receiver: Receiver) -> None:
    """The device is online; the first line, which may be a partial one, is over."""
    for _ in range(100):
        await say(1)
        await asyncio.sleep(0.1)
        if receiver.count > 1:
            return
    raise TimeoutError("the device's lines don't arrive")


async def _quiet(count: Callable[[], int]) -> None:
    """Wait until nothing comes any more, for ten seconds at most."""
    for _ in range(20):
        before = count()
        await asyncio.sleep(0.5)
        if count() == before:
            return


_INSIDE = (fieldgate_embedded,)
_MOSQUITTO = (*_INSIDE, mosquitto_web)
_ALL = (*_MOSQUITTO, nchan_web, flask_web)
_OUTSIDE = (fieldgate_web, mosquitto_web)
_WHOLE = (fieldgate_whole,)

SCENARIOS = (
    Scenario("one", "relay, 1 session, flat out", one_session, (*_MOSQUITTO, flask_web)),
    Scenario("many", "relay, 100 sessions, flat out", many_sessions, _ALL),
    Scenario("own", "relay, 100 sessions, 10 of 100 topics each, flat out", own_filters, _ALL),
    Scenario("steady-one", "relay, 1 session, 1,000 messages/s", steady_one, _ALL),
    Scenario("steady", "relay, 100 sessions, 1,000 messages/s", steady, _ALL),
    Scenario("crowd", "relay, 1,000 sessions, 500 messages/s", crowd, _ALL),
    Scenario("busy", "relay, 100 sessions, 12,000 messages/s", busy, _INSIDE),
    Scenario("newcomer", "relay, newcomer over 10,000 retained topics", newcomer, _ALL),
    Scenario("frozen", "relay, 1 of 100 sessions frozen, 1,000 messages/s", frozen, _ALL),
    Scenario(
        "frozen-memory",
        "relay, 1 of 100 sessions frozen, 100,000 messages",
        frozen_memory,
        _INSIDE,
    ),
    Scenario("idle", "relay, 200 idle sessions", idle, _ALL),
    Scenario("outside-one", "broker outside, 1 session, flat out", one_session, _OUTSIDE),
    Scenario("outside-many", "broker outside, 100 sessions, flat out", many_sessions, _OUTSIDE),
    Scenario("outside-steady", "broker outside, 100 sessions, 1,000 messages/s", steady, _OUTSIDE),
    Scenario("whole", "serial line to browser, 1 session", whole_way, _WHOLE),
    Scenario("lines", "serial line to browser, flat out", most_lines, _WHOLE),
)
