"""How a session is told that it ends, and why."""

from __future__ import annotations

import asyncio
import random


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

    async def wait(self) -> None:
        """Wait until it is one's own turn to end."""
        await self._event.wait()
        if self._spread_s:
            await asyncio.sleep(random.uniform(0, self._spread_s))
