"""How often a point is heard, learned from listening, and how long it may be silent. Pure."""

from __future__ import annotations

FIRST_GAPS = 3
"""So many gaps must have been heard before an interval is believed."""

TOLERANCE = 3
"""A point is silent when it has missed two frames and the third is due."""

SPELL_GAPS = 16
SPELL_S = 30.0
"""A spell has so many gaps and lasts so long at least: a device that says a hundred lines and then
pauses has one long gap, and it counts."""

SAME_FRAME_S = 0.001
"""What comes closer together came at once."""


def rounded_up(seconds: float) -> int:
    """The first of 1, 2, 5, 10, 20, 50, … that is not less."""
    step = 1
    while True:
        for times in (1, 2, 5):
            if times * step >= seconds:
                return times * step
        step *= 10


class Interval:
    """One point's rhythm. All times are of one monotonic clock, in seconds.

    `interval_s` is the longest gap between two frames in this spell and the one before, and
    `silence_s`, how long the point may be silent, TOLERANCE times that, rounded up to 1, 2, 5,
    10 …; both are 0 while too little was heard. They change only when `silence_s` becomes at
    least twice, or `interval_s` at most half of what it was. A gap longer than `silence_s` was an
    outage, and is an interval only where another one follows within two spells.
    """

    __slots__ = (
        "_began_s",
        "_gap_from_s",
        "_gaps",
        "_is_learning",
        "_longest_before_s",
        "_longest_s",
        "_outage_before_s",
        "_outage_s",
        "heard_s",
        "interval_s",
        "silence_s",
    )

    def __init__(self, stale_after_s: float | None = None) -> None:
        """`stale_after_s` is what `silence_s` shall be, 0 for any silence; None to learn it."""
        self._is_learning = stale_after_s is None
        self.silence_s = stale_after_s or 0.0
        self.interval_s = 0.0
        self.heard_s = 0.0
        self._gap_from_s: float | None = None
        self._began_s = 0.0
        self._gaps = 0
        self._longest_s = self._longest_before_s = 0.0
        self._outage_s = self._outage_before_s = 0.0

    def heard(self, now_s: float) -> bool:
        """Note a frame that held the point; says whether `silence_s` is another now."""
        self.heard_s = now_s
        if not self._is_learning:
            return False
        if self._gap_from_s is None:
            self._gap_from_s = self._began_s = now_s
            return False
        gap_s = now_s - self._gap_from_s
        if gap_s < SAME_FRAME_S:
            return False
        self._gap_from_s = now_s
        if gap_s > self.silence_s > 0:
            gap_s = self._of_outage(gap_s)
        if gap_s > self._longest_s:
            self._longest_s = gap_s
        self._gaps += 1
        has_changed = (self._gaps >= FIRST_GAPS or self.silence_s > 0) and self._settle()
        if self._gaps >= SPELL_GAPS and now_s - self._began_s >= SPELL_S:
            self._begin_spell(now_s)
        return has_changed

    def pause(self) -> None:
        """The device can't be heard for now, and why is known: that is no gap."""
        self._gap_from_s = None

    def is_silent(self, now_s: float) -> bool:
        """Whether it has been silent for longer than it may."""
        return 0 < self.silence_s < now_s - self.heard_s

    def _of_outage(self, gap_s: float) -> float:
        """What such a gap says of the interval: nothing before the second one."""
        before_s = max(self._outage_s, self._outage_before_s)
        self._outage_before_s = 0.0
        self._outage_s = 0.0 if before_s else gap_s
        return min(before_s, gap_s)

    def _settle(self) -> bool:
        longest_s = max(self._longest_s, self._longest_before_s)
        silence_s = TOLERANCE * longest_s
        is_longer = silence_s > self.silence_s
        is_half = longest_s <= self.interval_s / 2 and rounded_up(silence_s) <= self.silence_s / 2
        if not is_longer and not is_half:
            return False
        self.interval_s = longest_s
        self.silence_s = rounded_up(silence_s)
        return True

    def _begin_spell(self, now_s: float) -> None:
        self._longest_before_s, self._longest_s = self._longest_s, 0.0
        self._outage_before_s, self._outage_s = self._outage_s, 0.0
        self._gaps = 0
        self._began_s = now_s
