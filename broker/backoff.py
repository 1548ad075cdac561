"""How long to wait before the next attempt: growing, bounded and jittered."""

from __future__ import annotations

import random

FIRST_S = 0.2
"""A broker that restarts is back within a second; sooner than this, we'd only load it."""

MOST_S = 5.0
"""A person who mends something looks for the result within seconds; oftener fills the logs."""

LASTED_S = 10.0
"""A connection this old was a real one: the next wait is short again. A broker that takes
us in and throws us out at once (full, or a message that it can't stand) is not asked
five times a second."""


class Backoff:
    """The waits of one outage. Half of each is chance, so that many clients spread out."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()
        self._next_s = FIRST_S

    def next_s(self) -> float:
        """The wait before the next attempt, in seconds."""
        wait_s = self._next_s * self._chance.uniform(0.5, 1.0)
        self._next_s = min(self._next_s * 2, MOST_S)
        return wait_s

    def lasted(self, seconds: float) -> None:
        """Begin anew if the last connection was a real one."""
        if seconds >= LASTED_S:
            self._next_s = FIRST_S
