"""A subscription: a cursor into the hub, and when it is due to be flushed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from webui.cursor import Cursor
from webui.hub import Hub
from webui.wire import Gap, Mode, Render


def next_tick(now: float, rate_hz: float) -> float:
    """The next moment on the time grid of a rate; all who share the rate share the grid."""
    return (math.floor(now * rate_hz) + 1) / rate_hz


class Subscription:
    """One set of filters that a session watches; tells the session when it becomes due.

    Without a rate it is due as soon as there is news. With one it is due at most that often,
    and gets the newest value of each topic: a rate implies the mode `latest`.
    """

    def __init__(
        self,
        hub: Hub,
        filters: tuple[str, ...],
        *,
        render: Render,
        on_due: Callable[[Subscription], None],
        frame_id: int = 0,
        mode: Mode = "all",
        max_rate_hz: float | None = None,
        since: str | None = None,
    ) -> None:
        self._hub = hub
        self._on_due = on_due
        self.max_rate_hz = max_rate_hz
        self.mode: Mode = "all" if max_rate_hz is None and mode == "all" else "latest"
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self.is_due = True
        self.welcome = hub.subscribe(
            filters,
            render=render,
            wake=self._wake,
            frame_id=frame_id,
            mode=self.mode,
            since=since,
        )

    @property
    def cursor(self) -> Cursor:
        """Where it stands."""
        return self.welcome.cursor

    def pull(self) -> Gap | bytes | None:
        """What to send next, or None until it is due again."""
        if not self.is_due or self._is_closed:
            return None
        frame = self.cursor.pull()
        self.is_due = not self.cursor.is_at_end
        return frame

    def close(self) -> None:
        """Stop watching; allowed twice."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._hub.unsubscribe(self.cursor)

    def _wake(self) -> None:
        if self.max_rate_hz is None:
            self._fire()
        elif self._timer is None:
            tick = next_tick(self._loop.time(), self.max_rate_hz)
            self._timer = self._loop.call_at(tick, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if not self.is_due:
            self.is_due = True
            self._on_due(self)
