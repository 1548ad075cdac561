"""What waits for one client behind its window: bounded, oldest first. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from broker.native.backlog import DELIVERY_BYTES, Backlog
from broker.native.delivery import Delivery

MAX_MESSAGES = 10_000
MAX_BYTES = 64 * 1024 * 1024
"""What waits for one client: hours of a device's messages, and no client costs more."""


class MessageQueue:
    """At either bound the oldest is given up, as it is when all clients together are owed more
    than they may and no queue is fuller than this: see `Backlog`.
    """

    def __init__(
        self,
        backlog: Backlog,
        give_up: Callable[[Delivery], None],
        *,
        max_messages: int = MAX_MESSAGES,
    ) -> None:
        self._backlog = backlog
        self._give_up = give_up
        self._max_messages = max_messages
        self._bytes = 0
        self.deliveries: deque[Delivery] = deque()
        """To be read; the very same object always."""

    @property
    def is_half_full(self) -> bool:
        """Whether so much waits that what can come later had better."""
        return bool(self.deliveries) and (
            len(self.deliveries) * 2 >= self._max_messages
            or self._bytes * 2 >= MAX_BYTES
            or self._backlog.is_half_full
        )

    def append(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self._grow(_cost(delivery))
        while len(self.deliveries) > self._max_messages or self._bytes > MAX_BYTES:
            self._backlog.overflowed += 1
            self.give_up_oldest()

    def popleft(self) -> Delivery:
        oldest = self.deliveries.popleft()
        self._grow(-_cost(oldest))
        return oldest

    def take_out(self, is_wanted: Callable[[Delivery], bool]) -> Sequence[Delivery]:
        """Take out some, wherever they stand."""
        found = [each for each in self.deliveries if is_wanted(each)]
        if found:
            others = [each for each in self.deliveries if not is_wanted(each)]
            self.deliveries.clear()
            self.deliveries.extend(others)
            self._grow(-sum(map(_cost, found)))
        return found

    def give_up_oldest(self) -> None:
        """Drop what has waited longest."""
        self._give_up(self.popleft())

    def _grow(self, by: int) -> None:
        before = self._bytes
        self._bytes = before + by
        self._backlog.rank(self, before, before + by)


def _cost(delivery: Delivery) -> int:
    return delivery.size + DELIVERY_BYTES
