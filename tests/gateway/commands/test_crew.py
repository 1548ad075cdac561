from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.commands.crew import Crew
from gateway.commands.desk import Order
from gateway.errors import ReaderError
from gateway.readers import Content
from tests.real_ends import DEADLINE_S, until


def order(device: str, content: Content = b"x", line: str = "") -> Order:
    return Order(
        device, line or device, "p", True, content, "t", None, 5.0, None, is_confirmed=True
    )


class Hardware:
    def __init__(self) -> None:
        self.written: list[Content] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error: Exception | None = None

    def write(self, _point: str, content: Content) -> None:
        self.may_go_on.wait(DEADLINE_S)
        if self.error is not None:
            raise self.error
        self.written.append(content)


@asynccontextmanager
async def crew(readers: dict[str, Hardware], ended: list[tuple[Order, str]]) -> AsyncIterator[Crew]:
    loop = asyncio.get_running_loop()
    one = Crew(loop, readers, lambda *end: ended.append(end), clock=lambda: 7)
    try:
        yield one
    finally:
        for reader in readers.values():
            reader.may_go_on.set()
        one.close()


async def test_orders_of_a_device_are_written_in_their_order() -> None:
    ended: list[tuple[Order, str]] = []
    hardware = Hardware()
    orders = [order("a", bytes([number])) for number in range(20)]
    async with crew({"a": hardware}, ended) as one:
        for each in orders:
            one.carry_out(each)
        await until(lambda: len(ended) == 20, "all are written")
    assert hardware.written == [each.content for each in orders]
    assert ended == [(each, "") for each in orders]
    assert {each.begun_ms for each in orders} == {7}


async def test_orders_of_devices_on_one_line_are_written_in_their_order() -> None:
    ended: list[tuple[Order, str]] = []
    slow, quick = Hardware(), Hardware()
    slow.may_go_on.clear()
    async with crew({"slow": slow, "quick": quick}, ended) as one:
        one.carry_out(order("slow", line="bus"))
        one.carry_out(order("quick", line="bus"))
        one.carry_out(order("quick", line="elsewhere"))
        await until(lambda: len(ended) == 1, "what is elsewhere is done")
        slow.may_go_on.set()
        await until(lambda: len(ended) == 3, "all are done")
    assert [(each.device, each.line) for each, _ in ended] == [
        ("quick", "elsewhere"),
        ("slow", "bus"),
        ("quick", "bus"),
    ]


async def test_a_device_that_hangs_keeps_back_no_other() -> None:
    ended: list[tuple[Order, str]] = []
    slow, quick = Hardware(), Hardware()
    slow.may_go_on.clear()
    async with crew({"slow": slow, "quick": quick}, ended) as one:
        one.carry_out(order("slow"))
        one.carry_out(order("quick"))
        await until(lambda: len(ended) == 1, "the quick one is done")
        assert ended[0][0].device == "quick"


async def test_an_order_that_was_given_up_is_not_written() -> None:
    ended: list[tuple[Order, str]] = []
    hardware = Hardware()
    hardware.may_go_on.clear()
    given_up = order("a", b"old")
    async with crew({"a": hardware}, ended) as one:
        one.carry_out(order("a", b"first"))
        one.carry_out(given_up)
        one.carry_out(order("a", b"last"))
        given_up.is_over = True
        hardware.may_go_on.set()
        await until(lambda: len(ended) == 2, "the others are written")
    assert hardware.written == [b"first", b"last"]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ReaderError("/dev/ttyUSB0 is gone"), "/dev/ttyUSB0 is gone"),
        (ValueError("70000 is no uint16"), "70000 is no uint16"),
    ],
)
async def test_what_can_not_be_written_comes_back_with_the_reason(
    error: Exception, why: str
) -> None:
    ended: list[tuple[Order, str]] = []
    hardware = Hardware()
    hardware.error = error
    async with crew({"a": hardware}, ended) as one:
        one.carry_out(order("a"))
        await until(lambda: ended, "it is over")
    assert [why_not for _, why_not in ended] == [why]


async def test_a_fault_of_a_reader_is_logged_and_ends_only_its_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[tuple[Order, str]] = []
    hardware = Hardware()
    hardware.error = KeyError("p")
    async with crew({"a": hardware}, ended) as one:
        one.carry_out(order("a"))
        await until(lambda: len(ended) == 1, "it is over")
        hardware.error = None
        one.carry_out(order("a"))
        await until(lambda: len(ended) == 2, "the next is over")
    assert [why_not for _, why_not in ended] == ["the reader failed: KeyError: 'p'", ""]
    assert [one.levelno for one in caplog.records] == [logging.ERROR]


async def test_what_waits_at_the_end_is_not_written() -> None:
    ended: list[tuple[Order, str]] = []
    hardware = Hardware()
    hardware.may_go_on.clear()
    async with crew({"a": hardware}, ended) as one:
        for number in range(3):
            one.carry_out(order("a", bytes([number])))
        one.close()
        hardware.may_go_on.set()
        await until(lambda: ended, "the first is over")
    assert hardware.written == [b"\0"]
