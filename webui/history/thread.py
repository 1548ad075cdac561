"""A thread in which the file is written, and another in which it is read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Full, Queue
from typing import ParamSpec, TypeVar

from webui.errors import RefusedError

P = ParamSpec("P")
T = TypeVar("T")


class FileThread:
    """Runs calls one after the other; those that wait are bounded.

    A daemon thread: a disk that hangs must not keep the program from ending.
    """

    def __init__(self, name: str, *, waiting: int) -> None:
        self._calls: Queue[Callable[[], None] | None] = Queue(waiting)
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def run(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call when its turn comes; raises what it raises, or RefusedError at the bound."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = call(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - whoever waits for the call gets it
                future.set_exception(error)
            else:
                future.set_result(result)

        try:
            self._calls.put_nowait(run)
        except Full:
            raise RefusedError(
                "unavailable", "too many ask for history now: try again later"
            ) from None
        return await asyncio.wrap_future(future)

    def end(self) -> None:
        """End once what waits is done; where a disk hangs, with the process."""
        with suppress(Full):
            self._calls.put_nowait(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
