"""When sessions hear of news: at once while it is quiet, and at a pace that CPU can keep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic  # uvloop's own time goes by the millisecond

from webui.hub import Hub

SHARE = 0.75
"""Of the event loop's time: what rounds may take. What they leave is for the broker and all else
that shares the loop; a smaller share would only make messages wait."""

SAVED_S = 0.02
"""Of the time that they didn't need: how much they may catch up on without a pause."""


class Pacer:
    """Wakes every cursor with news, and pauses where such rounds take more than their share.

    So delivering never takes all of the CPU, however many sessions there are, and what comes
    during a pause goes out together in the next round.
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
        # The loop writes at the end of this turn; only after it is known what the round cost.
        self._loop.call_soon(self._settle, began, self._news_at)

    def _settle(self, began: float, news_at: float) -> None:
        now = monotonic()
        self._delivered(now - news_at)
        self._not_before = next_round(self._not_before, began, now - began)


def next_round(not_before: float, began: float, cost_s: float) -> float:
    """When the round after one that began and cost so much may begin, in the same clock's s."""
    return max(not_before, began - SAVED_S) + cost_s / SHARE
