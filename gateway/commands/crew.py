"""The threads that write, one a line, so that the loop never waits for hardware."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from gateway.commands.desk import Order
from gateway.readers import Clock, Writing, wall_clock_ms

LOG = logging.getLogger(__name__)


class Crew:
    """Carries out orders, those of a line in their order; on the loop, `done` hears the end.

    A thread begins with the first order of its line. How many wait is the desk's to bound, and
    how long a write takes the reader's.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        readers: Mapping[str, Writing],
        done: Callable[[Order, str], None],
        *,
        clock: Clock = wall_clock_ms,
    ) -> None:
        """`done` gets the order, and why it was not carried out: empty if it was."""
        self._loop = loop
        self._readers = readers
        self._done = done
        self._clock = clock
        self._threads: dict[str, ThreadPoolExecutor] = {}

    def carry_out(self, order: Order) -> None:
        """Have it written; returns at once."""
        thread = self._threads.get(order.line)
        if thread is None:
            name = f"writer {order.line}"
            thread = self._threads[order.line] = ThreadPoolExecutor(1, thread_name_prefix=name)
        thread.submit(self._write, order)

    def close(self) -> None:
        """Write nothing more; what is being written is not waited for."""
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)

    def _write(self, order: Order) -> None:
        if order.is_over:  # given up meanwhile
            return
        order.begun_ms = self._clock()
        why_not = ""
        try:
            self._readers[order.device].write(order.point, order.content)
        except (OSError, ValueError) as error:  # ReaderError is one
            why_not = str(error)
        except Exception as error:
            LOG.exception("%s: a fault in its reader's write", order.device)
            why_not = f"the reader failed: {type(error).__name__}: {error}"
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._done, order, why_not)
