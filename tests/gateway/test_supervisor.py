"""A reader's thread: what it says about its hardware, and how it comes back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby, islice
from pathlib import Path

import pytest

from gateway.decoders.key_value import KeyValueConfig
from gateway.errors import ReaderError
from gateway.handoff import DeviceMeasurement, DeviceStatus, Handoff, Item
from gateway.measurement import Measurement
from gateway.readers import Reader, build
from gateway.readers.serial_config import SerialConfig
from gateway.supervisor import LONGEST_WAIT_S, SupervisedReader, waits_s
from tests.real_ends import DEADLINE_S, free_port, until
from tests.serial_line import serial_line


def serial_reader(port: object) -> Reader:
    section = SerialConfig.model_validate({"type": "serial", "port": str(port)})
    return build(section, KeyValueConfig(type="key_value"))


class House:
    """Readers under supervision, and what they say, in its order."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.handoff = Handoff(asyncio.get_running_loop(), self.items.extend)
        self._supervised: list[SupervisedReader] = []

    def start(self, device: str, reader: Reader) -> SupervisedReader:
        supervised = SupervisedReader(device, reader, self.handoff)
        self._supervised.append(supervised)
        supervised.start()
        return supervised

    def statuses(self, device: str) -> list[bool]:
        return [status.online for status in self._statuses(device)]

    def reason(self, device: str) -> str:
        return self._statuses(device)[-1].reason

    def values(self, device: str, field: str) -> list[object]:
        return [
            item.measurement.fields[field]
            for item in self.items
            if isinstance(item, DeviceMeasurement) and item.device == device
        ]

    def _statuses(self, device: str) -> list[DeviceStatus]:
        return [
            item for item in self.items if isinstance(item, DeviceStatus) and item.device == device
        ]

    def has_said(self, device: str, values: list[object]) -> bool:
        return self.values(device, "T") == values

    def stop(self) -> None:
        for supervised in self._supervised:
            supervised.request_stop()
        assert all(supervised.stop(DEADLINE_S) for supervised in self._supervised)


@contextlib.contextmanager
def house() -> Iterator[House]:
    built = House()
    try:
        yield built
    finally:
        built.stop()


class Scripted:
    """A reader that does what it is told, to see what no hardware does on demand."""

    def __init__(self, *steps: Callable[[], Sequence[Measurement]]) -> None:
        self.opened = 0
        self.closed = 0
        self._steps = iter(steps)

    def open(self) -> None:
        self.opened += 1

    def read(self) -> Sequence[Measurement]:
        step = next(self._steps, None)
        if step is None:
            threading.Event().wait(0.01)
            return ()
        return step()

    def close(self) -> None:
        self.closed += 1


def raising(error: Exception) -> Callable[[], Sequence[Measurement]]:
    def step() -> Sequence[Measurement]:
        raise error

    return step


def saying(value: int) -> Callable[[], Sequence[Measurement]]:
    return lambda: (Measurement(1, {"n": value}),)


async def test_a_line_unplugged_five_times_is_offline_each_time_and_heals(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.supervisor")
    (tmp_path / "other").mkdir()
    with contextlib.ExitStack() as stack:
        line = stack.enter_context(serial_line(tmp_path))
        other = stack.enter_context(serial_line(tmp_path / "other"))
        home = stack.enter_context(house())
        supervised = home.start("boiler", serial_reader(line.path))
        neighbour = home.start("other", serial_reader(other.path))
        await until(lambda: supervised.health.online and neighbour.health.online, "both online")
        other.say(b"\n")
        for number in range(5):
            line.say(b"\nT=%d\n" % number)
            other.say(b"T=%d\n" % number)
            expected: list[object] = [*range(number + 1)]
            await until(partial(home.has_said, "boiler", expected), "its value")
            line.unplug()
            await until(lambda: home.statuses("boiler")[-1] is False, "offline")
            assert home.reason("boiler").startswith(f"{line.path} is gone: ")
            assert not supervised.health.online
            assert supervised.health.last_error == home.reason("boiler")
            line.plug()
            await until(lambda: home.statuses("boiler")[-1] is True, "online")
        await until(lambda: len(home.values("other", "T")) == 5, "the neighbour missed nothing")
        changes = [online for online, _ in groupby(home.statuses("boiler"))]
        assert changes == [True, False] * 5 + [True]
        assert home.statuses("other") == [True]
        assert supervised.health.opened == 6
        assert supervised.health.measurements == 5
        assert caplog.text.count("boiler is offline: ") == caplog.text.count("boiler is back") == 5


async def test_a_line_that_is_not_there_is_offline_with_a_reason_and_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serial_line(tmp_path) as line, house() as home:
        missing = home.start("missing", serial_reader("/dev/no-such-line"))
        home.start("boiler", serial_reader(line.path))
        await until(lambda: home.statuses("boiler") == [True], "the other is online")
        line.say(b"\nT=1\n")
        await until(lambda: home.values("boiler", "T") == [1], "the other is read")
        await until(lambda: home.statuses("missing") == [False], "offline")
        assert home.reason("missing").startswith("there is no /dev/no-such-line: is it plugged in?")
        first_ms = missing.health.last_error_ms
        await until(lambda: missing.health.last_error_ms != first_ms, "it is tried again")
        assert home.statuses("missing") == [False]
        assert caplog.text.count("missing is offline") == 1


async def test_another_reason_for_being_offline_is_said_too(tmp_path: Path) -> None:
    path = tmp_path / "ttyTEST0"
    with house() as home:
        home.start("boiler", serial_reader(path))
        await until(lambda: home.statuses("boiler") == [False], "offline")
        path.write_text("")
        await until(lambda: home.statuses("boiler") == [False, False], "offline for another reason")
        assert home.reason("boiler") == f"{path} is no serial port"


async def test_a_tcp_server_that_was_away_is_found_when_it_comes() -> None:
    number = free_port()
    with house() as home:
        home.start("meter", serial_reader(f"socket://127.0.0.1:{number}"))
        await until(lambda: home.statuses("meter") == [False], "offline")
        with socket.create_server(("127.0.0.1", number)) as server:
            server.setblocking(False)
            connection, _ = await asyncio.get_running_loop().sock_accept(server)
            with connection:
                connection.sendall(b"\nT=1\n")
                await until(lambda: home.values("meter", "T") == [1], "its value")
        await until(lambda: home.statuses("meter")[:3] == [False, True, False], "offline again")


async def test_a_faulty_reader_is_told_once_with_its_traceback_and_opened_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader = Scripted(
        saying(1), raising(KeyError("oops")), saying(2), raising(KeyError("oops")), saying(3)
    )
    with house() as home:
        home.start("odd", reader)
        await until(lambda: home.values("odd", "n") == [1, 2, 3], "it comes back each time")
        assert home.statuses("odd") == [True, False, True, False, True]
        assert home.reason("odd") == ""
        assert [item.reason for item in home.items if isinstance(item, DeviceStatus)][1] == (
            "the reader failed: KeyError: 'oops'"
        )
        assert sum(record.exc_info is not None for record in caplog.records) == 1


async def test_a_reader_whose_close_fails_is_opened_again_all_the_same() -> None:
    class Clinging(Scripted):
        def close(self) -> None:
            super().close()
            raise RuntimeError("no")

    reader = Clinging(saying(1), raising(ReaderError("gone")), saying(2))
    with house() as home:
        home.start("odd", reader)
        await until(lambda: home.values("odd", "n") == [1, 2], "it comes back")
    assert reader.opened == reader.closed == 2


async def test_a_stop_says_offline_closes_the_reader_and_can_be_repeated() -> None:
    reader = Scripted(saying(1))
    with house() as home:
        supervised = home.start("boiler", reader)
        await until(lambda: home.values("boiler", "n") == [1], "its value")
        assert supervised.stop()
        assert supervised.stop()
        home.handoff.flush()
        assert home.statuses("boiler") == [True, False]
        assert home.reason("boiler") == "stopped"
        assert reader.closed == 1


async def test_a_stop_interrupts_the_longest_wait() -> None:
    with house() as home:
        supervised = SupervisedReader(
            "missing", serial_reader("/dev/no-such-line"), home.handoff, chance=Slow()
        )
        supervised.start()
        await until(lambda: home.statuses("missing") == [False], "offline")
        assert supervised.stop(DEADLINE_S)


class Slow(random.Random):
    """Chance that makes every wait longer than any test."""

    def uniform(self, a: float, b: float) -> float:
        return 1_000 * (a + b)


async def test_a_reader_that_hangs_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    hanging = threading.Event()

    def hang() -> Sequence[Measurement]:
        hanging.wait(DEADLINE_S)
        return ()

    with house() as home:
        supervised = home.start("boiler", Scripted(hang))
        await until(lambda: home.statuses("boiler") == [True], "online")
        assert not supervised.stop(0.01)
        assert "boiler: the reader doesn't stop" in caplog.text
        hanging.set()


async def test_of_many_readers_that_hang_none_adds_to_the_wait_for_the_others() -> None:
    """As where no name server answers and each reader looks for its own server."""
    hanging = threading.Event()

    def hang() -> Sequence[Measurement]:
        hanging.wait()
        return ()

    with house() as home:
        readers = [home.start(f"meter{number}", Scripted(hang)) for number in range(60)]
        await until(lambda: len(home.items) == 60, "all are online")
        for supervised in readers:
            supervised.request_stop()
        stopping = asyncio.create_task(
            asyncio.to_thread(lambda: [supervised.stop(0.5) for supervised in readers])
        )
        try:
            await until(stopping.done, "all are left behind")
        finally:
            hanging.set()
        assert not any(await stopping)


async def test_a_reader_that_was_never_started_stops_at_once() -> None:
    with house() as home:
        assert SupervisedReader("boiler", Scripted(), home.handoff).stop()


def test_waits_grow_from_half_a_second_to_five_and_stay_there() -> None:
    waits = list(islice(waits_s(random.Random(1)), 50))
    assert 0.375 <= waits[0] <= 0.625
    assert waits[0] < waits[1] < waits[2]
    assert all(0.75 * LONGEST_WAIT_S <= wait <= 1.25 * LONGEST_WAIT_S for wait in waits[4:])
    assert len(set(waits)) == len(waits)
