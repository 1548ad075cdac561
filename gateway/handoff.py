"""The one place where the threads of readers meet the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.measurement import Measurement

LOG = logging.getLogger(__name__)

MAX_WAITING = 1_000
"""Measurements a device may have waiting: a second of a fast line, a few hundred kB of memory."""

MAX_MERGED_FIELDS = 1_024
"""Fields of a merged measurement; beyond it the older one is dropped instead, counted as merged."""

BURST_ITEMS = 500
"""Once a burst holds as many, the other devices wait for the loop's next turn: what all of them
have waiting could keep it from browsers and signals for many seconds."""


@dataclass(frozen=True, slots=True)
class DeviceMeasurement:
    """A device said something."""

    device: str
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """A device came or went; `reason` says why it went, in a sentence, and is empty otherwise."""

    device: str
    online: bool
    reason: str
    time_ms: int


Item = DeviceMeasurement | DeviceStatus


@dataclass(frozen=True, slots=True)
class HandoffCounts:
    """put = delivered + merged + superseded + waiting."""

    put: int
    delivered: int
    merged: int
    superseded: int
    waiting: int
    bursts: int


class Handoff:
    """Takes items from any thread, never blocks it, and delivers them on the loop in bursts.

    The first item of a burst wakes the loop; what comes until the loop gets to it is delivered
    with it, in the order of each device. Devices take turns where there is more than
    BURST_ITEMS. Bounds, per device: of more than `bound` measurements
    the oldest two become one (the newest value of each field, the newest time), but never across
    a change of status. Status changes are all kept, up to `bound`; beyond it the oldest is
    superseded by the next.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deliver: Callable[[Sequence[Item]], None],
        bound: int = MAX_WAITING,
    ) -> None:
        self._loop = loop
        self._deliver = deliver
        self._bound = bound
        self._lock = threading.Lock()
        self._queues: dict[str, _Queue] = {}
        self._is_due = False
        self._is_closed = False
        self._put = self._delivered = self._merged = self._superseded = self._bursts = 0

    @property
    def counts(self) -> HandoffCounts:
        """What went through so far; from any thread."""
        with self._lock:
            merged = self._merged + sum(queue.merged for queue in self._queues.values())
            superseded = self._superseded + sum(q.superseded for q in self._queues.values())
            waiting = self._put - self._delivered - merged - superseded
            return HandoffCounts(
                self._put, self._delivered, merged, superseded, waiting, self._bursts
            )

    def put(self, item: Item) -> None:
        """Take one item over, from any thread; once the loop is closed, drop it."""
        with self._lock:
            if self._is_closed:
                return
            queue = self._queues.get(item.device)
            if queue is None:
                queue = self._queues[item.device] = _Queue(self._bound)
            queue.put(item)
            self._put += 1
            must_wake, self._is_due = not self._is_due, True
        if must_wake:
            try:
                self._loop.call_soon_threadsafe(self._deliver_burst)
            except RuntimeError:  # the loop is closed
                self.close()

    def flush(self) -> None:
        """Deliver all that waits, now; on the loop only."""
        self._deliver_burst(most_items=None)

    def _deliver_burst(self, most_items: int | None = BURST_ITEMS) -> None:
        items: list[Item] = []
        with self._lock:
            while self._queues and (most_items is None or len(items) < most_items):
                queue = self._queues.pop(next(iter(self._queues)))  # its next item puts it last
                self._merged += queue.merged
                self._superseded += queue.superseded
                items += queue.items()
            self._delivered += len(items)
            self._bursts += bool(items)
            self._is_due = bool(self._queues)
        if self._is_due:
            self._loop.call_soon(self._deliver_burst)
        if items:
            self._deliver(items)

    def close(self) -> None:
        """Take nothing over any more; what still waits is dropped."""
        with self._lock:
            self._is_closed = True
            self._queues.clear()


class _Queue:
    """What waits of one device: spells of measurements, each but the last ended by a status."""

    __slots__ = ("_bound", "_spells", "_waiting", "merged", "superseded")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._spells: deque[_Spell] = deque([_Spell()])
        self._waiting = 0
        self.merged = 0
        self.superseded = 0

    def put(self, item: Item) -> None:
        last = self._spells[-1]
        if isinstance(item, DeviceStatus):
            last.status = item
            self._spells.append(_Spell())
            if len(self._spells) > self._bound + 1:
                self._join_oldest_spells()
            return
        last.measurements.append(item)
        self._waiting += 1
        if self._waiting > self._bound:
            self._merge_oldest()

    def items(self) -> list[Item]:
        items: list[Item] = []
        for spell in self._spells:
            items += spell.measurements
            if spell.status is not None:
                items.append(spell.status)
        return items

    def _merge_oldest(self) -> None:
        for spell in self._spells:
            if len(spell.measurements) > 1:
                older, newer = spell.measurements.popleft(), spell.measurements.popleft()
                spell.measurements.appendleft(_merged(older, newer))
                self._waiting -= 1
                self.merged += 1
                return
        self._join_oldest_spells()  # a status after each measurement: then two have to go
        self._merge_oldest()

    def _join_oldest_spells(self) -> None:
        oldest = self._spells.popleft()
        self._spells[0].measurements.extendleft(reversed(oldest.measurements))
        self.superseded += 1


class _Spell:
    __slots__ = ("measurements", "status")

    def __init__(self) -> None:
        self.measurements: deque[DeviceMeasurement] = deque()
        self.status: DeviceStatus | None = None


def _merged(older: DeviceMeasurement, newer: DeviceMeasurement) -> DeviceMeasurement:
    fields = {**older.measurement.fields, **newer.measurement.fields}
    if len(fields) > MAX_MERGED_FIELDS:
        return newer
    time_ms = max(older.measurement.time_ms, newer.measurement.time_ms)
    return DeviceMeasurement(newer.device, Measurement(time_ms, fields))
