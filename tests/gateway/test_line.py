"""Who may write to a port, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from gateway.errors import ReaderError
from gateway.readers.line import Line
from gateway.readers.reader import READ_TIMEOUT_S
from tests.real_ends import DEADLINE_S, wait_until


class Notebook:
    """A port that writes down what it is told, and when."""

    def __init__(self) -> None:
        self.written: list[tuple[float, bytes]] = []
        self.is_broken = False

    @property
    def contents(self) -> list[bytes]:
        return [content for _, content in self.written]

    def open(self) -> None: ...

    def read(self, _timeout_s: float = READ_TIMEOUT_S) -> bytes:
        return b""

    def write(self, content: bytes) -> None:
        if self.is_broken:
            raise ReaderError("gone")
        self.written.append((time.monotonic(), content))

    def discard(self) -> None: ...

    def close(self) -> None: ...


def in_a_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_writes_are_apart_and_in_the_order_of_each_thread() -> None:
    port = Notebook()
    line = Line(port, pause_s=0.02)

    def five(name: bytes) -> None:
        for number in range(5):
            line.write(name + b"%d" % number)

    threads = [in_a_thread(partial(five, name)) for name in (b"a", b"b")]
    for thread in threads:
        thread.join(DEADLINE_S)
    times = [at_s for at_s, _ in port.written]
    assert all(after - before >= 0.02 for before, after in pairwise(times))
    for name in (b"a", b"b"):
        own = [content for content in port.contents if content.startswith(name)]
        assert own == [name + b"%d" % number for number in range(5)]


def test_a_command_waits_for_the_answer_to_a_request_and_goes_before_the_next() -> None:
    port = Notebook()
    line = Line(port, patience_s=DEADLINE_S)
    assert line.ask(b"T?")
    command = in_a_thread(lambda: line.write(b"PUMP 1"))
    wait_until(lambda: line.is_wanted, "the command waits")
    assert not line.ask(b"never")
    assert port.contents == [b"T?"]
    line.free()
    wait_until(lambda: line.ask(b"P?"), "the next request goes out")
    assert port.contents == [b"T?", b"PUMP 1", b"P?"]
    command.join(DEADLINE_S)
    line.free()
    line.free()  # nothing is asked: nothing to free


def test_a_command_that_waits_for_too_long_is_refused_in_a_sentence() -> None:
    line = Line(Notebook(), patience_s=0.01)
    line.ask(b"T?")
    with pytest.raises(ReaderError, match=r"the line was not free within 0\.01 s"):
        line.write(b"PUMP 1")


def test_a_line_that_broke_is_free_again() -> None:
    port = Notebook()
    line = Line(port)
    port.is_broken = True
    for write in (line.write, line.ask):
        with pytest.raises(ReaderError, match="gone"):
            write(b"x")
    line.free()
    port.is_broken = False
    line.write(b"y")
    assert port.contents == [b"y"]
