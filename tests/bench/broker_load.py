"""How a broker is loaded: as fast as its slowest subscriber receives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from tests.bench.broker_client import Publisher, Subscriber
from tests.bench.broker_side import Broker
from tests.bench.load import WARM_UP_S, CpuClock, CpuTime, settled

MOST_AHEAD = 4_000
"""Messages on their way at most: more than any broker needs to be busy all the time."""

_FIRST_AHEAD = 50
_SOON_S = 0.1
"""Where a window of messages is received sooner than that, the next one is twice as wide: so a
slow broker has no more on its way than it works off soon when the load ends."""

_BATCH = 10
"""Messages that one of several publishers sends before the next one does."""


class Traffic:
    """What new publishers send to new subscribers, each of whom gets all of it, flat out.

    Never more than a window ahead of the slowest subscriber, so that nothing has to be dropped
    anywhere, and the rate is one that lasts.
    """

    def __init__(self, publishers: Sequence[Publisher], subscribers: Sequence[Subscriber]) -> None:
        self._publishers = publishers
        self._subscribers = subscribers
        self._turns = cycle(publishers)
        self._ahead = _FIRST_AHEAD
        self._goal, self._set_out = 0, 0.0
        self._sent = 0
        self._is_running = False

    @property
    def fan_out(self) -> int:
        """How many get each message."""
        return len(self._subscribers)

    @property
    def received(self) -> int:
        """By all subscribers together."""
        return sum([subscriber.count for subscriber in self._subscribers])

    @property
    def is_over(self) -> bool:
        """Whether everybody has got all of it, and all of it is acknowledged."""
        is_open = any(publisher.open for publisher in self._publishers)
        return not self.lost and not is_open and not self._garbled

    @property
    def lost(self) -> int:
        """Messages that did not come to a subscriber; below zero where some came twice."""
        return self._sent * self.fan_out - self.received

    def start(self) -> None:
        self._is_running = True
        for client in (*self._publishers, *self._subscribers):
            client.moved = self._go_on
        self._go_on()

    def stop(self) -> None:
        self._is_running = False

    def check(self) -> None:
        """Raise ValueError where what came is not, to the byte, what was sent."""
        for subscriber in self._garbled:
            raise ValueError(f"{subscriber.count} messages came as {subscriber.size} bytes")

    @property
    def _garbled(self) -> list[Subscriber]:
        size = self._publishers[0].delivered_size
        return [each for each in self._subscribers if each.size != each.count * size]

    def _go_on(self) -> None:
        if not self._is_running:
            return
        slowest = min([subscriber.count for subscriber in self._subscribers])
        if slowest >= self._goal:
            now = time.monotonic()
            if now - self._set_out < _SOON_S:
                self._ahead = min(2 * self._ahead, MOST_AHEAD)
            self._goal, self._set_out = self._sent + 1, now
        room = self._ahead - (self._sent - slowest)
        while room >= _BATCH:
            count = next(self._turns).send(room if len(self._publishers) == 1 else _BATCH)
            if not count:
                return  # it waits for acknowledgements
            self._sent += count
            room -= count


@dataclass(frozen=True, slots=True)
class Flow:
    """What a load came to; `messages` counts what was received once, however many got it."""

    seconds: float
    messages: float
    deliveries: int
    lost: int
    cpu: CpuTime

    @property
    def cpu_us_per_message(self) -> float:
        """Of the broker."""
        return 1e6 * self.cpu.servers_s / max(1.0, self.messages)


async def flat_out(broker: Broker, traffics: Sequence[Traffic], seconds: float) -> Flow:
    """Let them all run for so long, and wait for what is on its way then."""
    for traffic in traffics:
        traffic.start()
    await asyncio.sleep(min(WARM_UP_S, seconds))
    clock, began, before = CpuClock(broker), time.monotonic(), _received(traffics)
    await asyncio.sleep(seconds)
    cpu, spent_s = clock.read(), time.monotonic() - began
    deliveries = _received(traffics) - before
    for traffic in traffics:
        traffic.stop()
    await settled(lambda: all(traffic.is_over for traffic in traffics))
    for traffic in traffics:
        traffic.check()
    lost = sum(traffic.lost for traffic in traffics)
    return Flow(spent_s, deliveries / traffics[0].fan_out, deliveries, lost, cpu)


def _received(traffics: Sequence[Traffic]) -> int:
    return sum(traffic.received for traffic in traffics)
