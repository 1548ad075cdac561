"""How a session is told that it ends, and why."""

from __future__ import annotations

import asyncio
import random
import time

from webui.identity import End


class Ending:
    """What a session waits for: to be told why it ends."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.code = 0
        self.reason = ""
        self._spread_s = 0.0

    def tell(self, code: int, reason: str, *, spread_s: float = 0.0) -> None:
        """End whoever waits, each at a random moment within `spread_s`."""
        self.code, self.reason, self._spread_s = code, reason, spread_s
        self._event.set()

    def tell_at(self, end: End) -> asyncio.TimerHandle:
        """Tell it in time, unless the timer is cancelled before."""
        wait_s = end.at_s - time.time()
        loop = asyncio.get_running_loop()
        return loop.call_later(wait_s, self.tell, end.code, end.reason)

    async def wait(self) -> None:
        """Wait until it is one's own turn to end."""
        await self._event.wait()
        if self._spread_s:
            await asyncio.sleep(random.uniform(0, self._spread_s))
