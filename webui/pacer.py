"""When sessions hear of news: at once while it is quiet, and at a pace that CPU can keep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic  # uvloop's own time goes by the millisecond

from webui.hub import Hub

MIN_PAUSE_S = 0.0005
"""The shortest time between two rounds: lets a burst become one frame, and nobody sees it."""


class Pacer:
    """Wakes every cursor with news, then keeps quiet for as long as that round took.

    So delivering takes half of the CPU at most, however many sessions there are, and what
    comes meanwhile goes out together in the next round.
    """

    def __init__(self, hub: Hub, delivered: Callable[[float], None] = lambda _: None) -> None:
        """`delivered` is told after each round how long ago the oldest of its news came, in s."""
        self._hub = hub
        self._delivered = delivered
        self._loop = asyncio.get_running_loop()
        self._is_armed = False
        self._not_before = 0.0
        self._news_at = 0.0

    def news(self) -> None:
        """Say that the hub has something new; cheap, and called once per burst."""
        if self._is_armed:
            return
        self._is_armed = True
        self._news_at = monotonic()
        pause_s = self._not_before - self._news_at
        if pause_s > 0:
            self._loop.call_later(pause_s, self._wake)
        else:
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        self._is_armed = False
        began = monotonic()
        for channel in self._hub.take_dirty():
            for cursor in tuple(channel.cursors):
                cursor.wake()
        # The woken tasks run in the next turn; only after it is known what the round cost.
        self._loop.call_soon(self._loop.call_soon, self._settle, began, self._news_at)

    def _settle(self, began: float, news_at: float) -> None:
        now = monotonic()
        self._delivered(now - news_at)
        self._not_before = now + max(MIN_PAUSE_S, now - began)
