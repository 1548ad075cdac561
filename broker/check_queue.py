"""The one thread in which passwords are checked, and who has the next turn in it.

Addresses have their turns one after the other, so that none waits for another's backlog. Whoever
comes when the queue is full takes the place of the last one of the address with the most, or,
where no address has more, is refused.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from broker.errors import PasswordsBusyError, TooManyAttemptsError

MAX_WAITING = 1024
"""Checks that may wait, of about 1 kB each: all devices of a plant, back after a power cut."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    check: Callable[[], bool]
    wait_s: Callable[[], float]
    answer: asyncio.Future[bool]


class CheckQueue:
    """See above. Lives on one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._by_source: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        self._count = 0
        self._is_running = False
        self._is_closed = False

    def put(
        self, check: Callable[[], bool], source: str, wait_s: Callable[[], float] = lambda: 0.0
    ) -> asyncio.Future[bool]:
        """Run a check in the thread when its turn comes, unless `wait_s()` isn't 0 by then.

        Raises PasswordsBusyError; the future may raise it, too, or TooManyAttemptsError.
        """
        if self._is_closed:
            raise PasswordsBusyError("no login is checked any more: the program is stopping")
        if self._count >= MAX_WAITING:
            self._make_room(source)
        answer = asyncio.get_running_loop().create_future()
        self._by_source.setdefault(source, deque()).append(_Waiting(check, wait_s, answer))
        self._count += 1
        self._next()
        return answer

    def close(self) -> None:
        """Start no further check; the one that runs ends by itself within a second."""
        self._is_closed = True
        for waiting in self._by_source.values():
            for each in waiting:
                each.answer.cancel()
        self._by_source.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _make_room(self, source: str) -> None:
        longest = max(self._by_source.values(), key=len)
        if len(longest) <= len(self._by_source.get(source, ())) + 1:
            raise PasswordsBusyError("too many logins wait to be checked: try again in a while")
        self._count -= 1
        longest.pop().answer.set_exception(
            PasswordsBusyError(
                "too many logins from this address wait to be checked: try again in a while"
            )
        )

    def _next(self) -> None:
        while self._by_source and not self._is_running:
            source, waiting = self._by_source.popitem(last=False)
            turn = waiting.popleft()
            self._count -= 1
            if waiting:
                self._by_source[source] = waiting
            if wait_s := turn.wait_s():
                turn.answer.set_exception(TooManyAttemptsError(wait_s))
                continue
            self._is_running = True
            running = asyncio.get_running_loop().run_in_executor(self._thread, turn.check)
            running.add_done_callback(partial(self._finished, turn))

    def _finished(self, turn: _Waiting, done: asyncio.Future[bool]) -> None:
        self._is_running = False
        if done.cancelled():
            turn.answer.cancel()
        elif (error := done.exception()) is not None:
            turn.answer.set_exception(error)
        else:
            turn.answer.set_result(done.result())
        self._next()
