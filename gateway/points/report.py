"""When a value is published: on change, every so often, at most so many a second. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.measurement import Value
from gateway.points.config import ReportConfig

NEVER_S = math.inf


@dataclass(frozen=True, slots=True)
class Policy:
    """What a `report` section asks for; all 0 and False is: each value that comes."""

    on_change: bool = False
    every_s: float = 0.0
    apart_s: float = 0.0
    """The least time between two reports."""
    dead_band: float = 0.0
    dead_band_percent: float = 0.0

    @classmethod
    def of(cls, config: ReportConfig) -> Policy:
        return cls(
            on_change=config.on_change or config.has_dead_band,
            every_s=config.every_s or 0.0,
            apart_s=1 / config.max_per_s if config.max_per_s else 0.0,
            dead_band=config.dead_band or 0.0,
            dead_band_percent=config.dead_band_percent or 0.0,
        )

    @property
    def held_back_s(self) -> float:
        """How long it may hold back a value that did not change, while it must not repeat it."""
        return max(self.apart_s, 0.0 if self.on_change else self.every_s)

    def is_change(self, before: Value, after: Value) -> bool:
        """Whether a value differs from the one reported before, by more than the dead-band."""
        if not (_is_number(before) and _is_number(after)):
            return type(before) is not type(after) or before != after
        assert isinstance(before, int | float)
        assert isinstance(after, int | float)
        if not self.dead_band and not self.dead_band_percent:
            return before != after
        try:
            band = max(self.dead_band, abs(before) * self.dead_band_percent / 100)
            noise = NOISE * max(abs(before), abs(after))
            return abs(after - before) > band + noise
        except OverflowError:  # larger than any float
            return before != after


NOISE = 1e-12
"""Of the size of the values: 0.8 - 0.6 is 0.2, whatever binary fractions make of it."""


class Report:
    """Decides value by value. All times are of one monotonic clock, in seconds.

    A value is offered; either it is to be published now, or `due_s` says when to ask `release`,
    which may be answered with an older offer only if no newer one came. At most one value waits,
    the newest, so there is nothing to bound; and an offer never moves the time at which another
    is due further away, so a point that never pauses is reported as often as it may be.

    `repeat_s` is how soon a value that keeps coming is reported again though it is no change.
    """

    __slots__ = ("_newest", "_policy", "_reported", "_reported_s", "due_s", "repeat_s")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._newest: Value = None
        self._reported: Value = None
        self._reported_s = -math.inf
        self.due_s = NEVER_S
        self.repeat_s = NEVER_S

    def offer(self, value: Value, now_s: float) -> bool:
        """Take a value that came; True when it is to be published now."""
        self._newest = value
        return self._decide(now_s)

    def release(self, now_s: float) -> bool:
        """True when the newest value that was offered is to be published now."""
        return self.due_s <= now_s and self._decide(now_s)

    def _decide(self, now_s: float) -> bool:
        self.due_s = max(self._reported_s + self._policy.apart_s, self._wanted_from_s())
        if self.due_s > now_s:
            return False
        self._reported, self._reported_s = self._newest, now_s
        self.due_s = NEVER_S
        return True

    def _wanted_from_s(self) -> float:
        policy = self._policy
        if policy.on_change:
            if policy.is_change(self._reported, self._newest):
                return -math.inf
        elif not policy.every_s:
            return -math.inf
        return self._reported_s + min(policy.every_s or NEVER_S, self.repeat_s)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
