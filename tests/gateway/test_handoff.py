"""Threads put, the loop gets: in order, in bursts, within bounds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gateway.handoff import (
    BURST_ITEMS,
    MAX_MERGED_FIELDS,
    MAX_WAITING,
    DeviceMeasurement,
    DeviceStatus,
    Handoff,
    Item,
)
from gateway.measurement import Measurement
from tests.real_ends import DEADLINE_S, until


def measured(number: int, device: str = "boiler", field: str = "n") -> DeviceMeasurement:
    return DeviceMeasurement(device, Measurement(number, {field: number}))


def status(number: int, *, online: bool = True, device: str = "boiler") -> DeviceStatus:
    return DeviceStatus(device, online, "", number)


class Receiver:
    """The loop's side: all that was delivered, burst by burst."""

    def __init__(self) -> None:
        self.bursts: list[Sequence[Item]] = []
        self.handoff = Handoff(asyncio.get_running_loop(), self.bursts.append)

    @property
    def items(self) -> list[Item]:
        return [item for burst in self.bursts for item in burst]


async def test_four_threads_lose_nothing_and_keep_each_devices_order() -> None:
    receiver, each = Receiver(), 5_000

    def put_all(device: str) -> None:
        for number in range(each):
            receiver.handoff.put(measured(number, device))

    threads = [threading.Thread(target=put_all, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    await until(lambda: not any(thread.is_alive() for thread in threads), "all is put")
    await until(lambda: receiver.handoff.counts.waiting == 0, "all is delivered")
    counts = receiver.handoff.counts
    assert counts.put == 4 * each == counts.delivered + counts.merged
    assert counts.delivered == len(receiver.items)
    assert counts.superseded == 0
    for name in "abcd":
        numbers = [
            item.measurement.time_ms
            for item in receiver.items
            if isinstance(item, DeviceMeasurement) and item.device == name
        ]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == each - 1


async def test_what_comes_while_the_loop_is_busy_wakes_it_once() -> None:
    receiver = Receiver()

    def put_all() -> None:
        for number in range(100):
            receiver.handoff.put(measured(number))

    for _ in range(3):
        thread = threading.Thread(target=put_all)
        thread.start()
        thread.join(DEADLINE_S)  # on the loop, which is therefore busy
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert [len(burst) for burst in receiver.bursts] == [100, 100, 100]
    assert receiver.handoff.counts.bursts == 3


async def test_many_devices_take_turns_and_let_the_loop_do_other_things() -> None:
    receiver = Receiver()
    for number in range(1_000):
        for device in "abcdefgh":
            receiver.handoff.put(measured(number, device))
    turns = 0
    while receiver.handoff.counts.waiting:
        turns += 1
        receiver.handoff.put(measured(1_000, "a"))
        await asyncio.sleep(0)
        assert turns < 1_000
    assert len(receiver.bursts) >= 8
    assert all(len(burst) <= BURST_ITEMS + MAX_WAITING for burst in receiver.bursts)
    first = dict.fromkeys("abcdefgh", 0)
    for place, burst in enumerate(receiver.bursts):
        for item in burst:
            first[item.device] = first[item.device] or place + 1
    assert sorted(first.values()) == list(range(1, 9)), "a, which goes on, keeps nobody waiting"


async def test_a_flush_delivers_all_that_waits() -> None:
    receiver = Receiver()
    for device in "abcd":
        for number in range(1_000):
            receiver.handoff.put(measured(number, device))
    receiver.handoff.flush()
    assert len(receiver.items) == 4_000


async def test_beyond_the_bound_the_oldest_two_become_one_with_the_newest_of_each_field() -> None:
    delivered: list[Item] = []
    handoff = Handoff(asyncio.get_running_loop(), delivered.extend, bound=2)
    handoff.put(DeviceMeasurement("a", Measurement(1, {"x": 1, "y": 1})))
    handoff.put(DeviceMeasurement("a", Measurement(2, {"y": 2, "z": 2})))
    handoff.put(measured(3, "a"))
    handoff.put(measured(4, "b"))
    handoff.flush()
    assert delivered == [
        DeviceMeasurement("a", Measurement(2, {"x": 1, "y": 2, "z": 2})),
        measured(3, "a"),
        measured(4, "b"),
    ]
    assert handoff.counts.merged == 1


async def test_measurements_never_merge_across_a_change_of_status() -> None:
    delivered: list[Item] = []
    handoff = Handoff(asyncio.get_running_loop(), delivered.extend, bound=3)
    items: list[Item] = [
        measured(1),
        status(2, online=False),
        measured(3),
        measured(4),
        measured(5),
    ]
    for item in items:
        handoff.put(item)
    handoff.flush()
    assert delivered == [measured(1), items[1], measured(4), measured(5)]


async def test_fields_of_ever_new_names_do_not_pile_up() -> None:
    delivered: list[Item] = []
    handoff = Handoff(asyncio.get_running_loop(), delivered.extend, bound=1)
    for number in range(3 * MAX_MERGED_FIELDS):
        handoff.put(measured(number, field=f"f{number}"))
    handoff.flush()
    (item,) = delivered
    assert isinstance(item, DeviceMeasurement)
    assert len(item.measurement.fields) <= MAX_MERGED_FIELDS
    assert f"f{3 * MAX_MERGED_FIELDS - 1}" in item.measurement.fields


STEPS = st.lists(st.booleans(), max_size=60)


@given(STEPS, st.integers(min_value=1, max_value=5))
def test_whatever_is_put_the_end_is_true_and_the_counts_add_up(
    steps: list[bool], bound: int
) -> None:
    loop = asyncio.new_event_loop()
    try:
        delivered: list[Item] = []
        handoff = Handoff(loop, delivered.extend, bound=bound)
        items = [measured(n) if is_value else status(n) for n, is_value in enumerate(steps)]
        for item in items:
            handoff.put(item)
        handoff.flush()
    finally:
        loop.close()
    counts = handoff.counts
    assert counts.put == len(items) == counts.delivered + counts.merged + counts.superseded
    assert counts.delivered == len(delivered)
    values = [item for item in delivered if isinstance(item, DeviceMeasurement)]
    statuses = [item for item in delivered if isinstance(item, DeviceStatus)]
    assert len(values) <= bound
    assert len(statuses) <= bound
    assert delivered[-1:] == items[-1:]
    times = [
        item.measurement.time_ms if isinstance(item, DeviceMeasurement) else item.time_ms
        for item in delivered
    ]
    assert times == sorted(times)
    put_statuses = [item for item in items if isinstance(item, DeviceStatus)]
    if len(put_statuses) <= bound and len(items) <= bound:
        assert delivered == items
    assert statuses == put_statuses[len(put_statuses) - len(statuses) :]


async def test_once_closed_it_takes_nothing_and_says_nothing() -> None:
    receiver = Receiver()
    receiver.handoff.put(measured(1))
    receiver.handoff.close()
    receiver.handoff.put(measured(2))
    await asyncio.sleep(0)
    assert receiver.items == []


def test_a_put_after_the_loop_was_closed_does_nothing() -> None:
    loop = asyncio.new_event_loop()
    delivered: list[Item] = []
    handoff = Handoff(loop, delivered.extend)
    loop.close()
    for number in range(3):
        handoff.put(measured(number))
    assert delivered == []
    assert handoff.counts.put <= 1
