"""What all clients together have not acknowledged: one bound on its bytes. Pure.

A message counts once, however many clients wait for it, since it is kept once in memory and once
on the disk; each of those who wait costs `DELIVERY_BYTES` more. What finds no room makes the
fullest queue give up its oldest, whoever is to have the new one: who lets much pile up loses, and
nobody else. What is in flight can't be given up; where nothing else is left to be, the new message
is not taken.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from broker.native.routed import Routed

MAX_BYTES = 256 * 1024 * 1024
"""Four queues as full as they may be, or a million short messages."""

DELIVERY_BYTES = 200
"""What one client's place in line costs, about."""

MAX_GIVEN_UP = 1000
"""Messages given up for one that comes, about 2 ms of work; beyond it that one is not taken."""

_SMALL_BITS = 16
"""Queues of less than 64 KiB are as full as each other, those of 64 to 128 KiB, and so on."""


class Queue(Protocol):
    """What waits for one client."""

    def give_up_oldest(self) -> None:
        """Drop what has waited longest; it must let go of it here."""


class Backlog:
    """Counts what is owed to clients, and finds room for more."""

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self.deliveries = 0
        """Messages in line or in flight, those of several clients as often."""
        self.overflowed = 0
        """Messages given up since one client's own queue was full."""
        self.given_up = 0
        """Messages given up to make room here, by whoever had the fullest queue."""
        self.refused = 0
        """Messages for which there was no room to be made."""
        self._holders: dict[Routed, int] = {}
        self._by_fullness: Sequence[OrderedDict[Queue, None]] = [OrderedDict() for _ in range(32)]

    @property
    def messages(self) -> int:
        """Messages that somebody waits for, each once."""
        return len(self._holders)

    @property
    def is_half_full(self) -> bool:
        return self.bytes * 2 >= self.max_bytes

    def take(self, message: Routed, size: int) -> bool:
        """Count in a message of so many bytes for one client, who must `let_go` of it.

        False where there is no room and none to be made.
        """
        holders = self._holders.get(message, 0)
        cost = DELIVERY_BYTES if holders else DELIVERY_BYTES + size
        if self.bytes + cost > self.max_bytes:
            # What is given up may be this very message, which then costs more.
            return self._make_room(cost) and self.take(message, size)
        self._holders[message] = holders + 1
        self.bytes += cost
        self.deliveries += 1
        return True

    def let_go(self, message: Routed, size: int) -> None:
        """One client waits for it no more."""
        holders = self._holders[message]
        self.deliveries -= 1
        if holders > 1:
            self._holders[message] = holders - 1
            self.bytes -= DELIVERY_BYTES
        else:
            del self._holders[message]
            self.bytes -= DELIVERY_BYTES + size

    def take_back(self, message: Routed, size: int) -> None:
        """Count in what was taken in an earlier life; `trim` follows."""
        holders = self._holders.get(message, 0)
        self._holders[message] = holders + 1
        self.bytes += DELIVERY_BYTES if holders else DELIVERY_BYTES + size
        self.deliveries += 1

    def reserve(self, size: int) -> bool:
        """Count in so many bytes of something else, which must be released; false without room."""
        if self.bytes + size > self.max_bytes and not self._make_room(size):
            return False
        self.bytes += size
        return True

    def take_back_bytes(self, size: int) -> None:
        """Count in what was reserved in an earlier life; `trim` follows."""
        self.bytes += size

    def release(self, size: int) -> None:
        self.bytes -= size

    def rank(self, queue: Queue, before: int, now: int) -> None:
        """A queue was so full, in bytes, and now is so full; 0 where nothing is in it."""
        small = _SMALL_BITS
        if before and now and (before >> small).bit_length() == (now >> small).bit_length():
            return  # as it mostly is
        was, will_be = _fullness(before), _fullness(now)
        if before:
            del self._by_fullness[was][queue]
        if now:
            self._by_fullness[will_be][queue] = None

    def trim(self) -> None:
        """Give up what is too much, as after a start with a smaller bound."""
        while self.bytes > self.max_bytes:
            if not self._give_up_one():
                return

    def _make_room(self, size: int) -> bool:
        for _ in range(MAX_GIVEN_UP):
            if not self._give_up_one():
                break
            if self.bytes + size <= self.max_bytes:
                return True
        self.refused += 1
        return False

    def _give_up_one(self) -> bool:
        fullest = next((each for each in reversed(self._by_fullness) if each), None)
        if fullest is None:
            return False
        queue = next(iter(fullest))
        fullest.move_to_end(queue)  # those that are as full take turns
        self.given_up += 1
        queue.give_up_oldest()
        return True


def _fullness(size: int) -> int:
    return (size >> _SMALL_BITS).bit_length() + 1 if size else 0
