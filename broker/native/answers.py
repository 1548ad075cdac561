"""Answers that wait until what they say is on the disk, in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

SLICE = 500
"""Answers that are sent in one turn of the loop."""

TIDY_AT = 10_000
"""Answers among which those to clients who have left are looked for; then at twice what is left."""

MAX_WAITING = 100_000
"""Beyond it, no client may have more than one more wait for the disk before it is read again."""


class Addressee(Protocol):
    """Whom an answer is for."""

    is_open: bool
    """Whether they are still there."""


class Somebody:
    """An addressee who doesn't leave."""

    is_open = True


SOMEBODY = Somebody()


class Answers:
    """See above. Lives on one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[int, Callable[[], None], Addressee]] = deque()
        self._tidy_at = TIDY_AT
        self.durable = 0
        """What was noted up to this number is on the disk."""

    def __len__(self) -> int:
        return len(self._waiting)

    def after(self, mark: int, then: Callable[[], None], addressee: Addressee) -> None:
        """Call `then` when `mark` is durable, unless its addressee has left by then."""
        if not self._waiting and self.durable >= mark:
            then()
            return
        self._waiting.append((mark, then, addressee))
        if len(self._waiting) >= self._tidy_at:
            self._waiting = deque(each for each in self._waiting if each[2].is_open)
            self._tidy_at = max(TIDY_AT, 2 * len(self._waiting))

    def settle(self, mark: int) -> None:
        """All that was noted up to `mark` is durable."""
        self.durable = max(self.durable, mark)
        self._answer()

    def _answer(self) -> None:
        try:
            for _ in range(SLICE):
                if not self._may_answer:
                    return
                self._waiting.popleft()[1]()
        finally:  # one answer's fault must not keep back the others
            if self._may_answer:
                self._loop.call_soon(self._answer)

    @property
    def _may_answer(self) -> bool:
        return bool(self._waiting) and self._waiting[0][0] <= self.durable
