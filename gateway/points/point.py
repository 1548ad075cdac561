"""One point of a device: its newest value, the one that is published, and its rhythm. Pure."""

from __future__ import annotations

from collections import Counter

from gateway.measurement import Value
from gateway.points.config import PointConfig
from gateway.points.conversion import Conversion
from gateway.points.interval import TOLERANCE, Interval, rounded_up
from gateway.points.report import NEVER_S, Policy, Report, ReportConfig

CATCH_UP_S = 1.0
"""How late a value may come that the broker's link had no room for."""

REPEATS = 2.5
"""How often, within the time after which others take it for gone, an unchanged value is published:
twice, and half a time to spare."""


class Point:
    """What comes is taken; `value` is what others should see of it, and `time_ms` when it was read.

    All other times are of one monotonic clock, in seconds.
    """

    __slots__ = (
        "_apart_s",
        "_convert",
        "_interval",
        "_is_plain",
        "_newest",
        "_newest_ms",
        "_report",
        "expire_after_s",
        "is_event",
        "time_ms",
        "topic",
        "value",
    )

    def __init__(
        self, topic: str, config: PointConfig, default: ReportConfig, refused: Counter[str]
    ) -> None:
        """`default` holds for what the point's own `report` leaves out."""
        report = config.report.over(default)
        policy = Policy.of(report)
        self.topic = topic
        self.is_event = config.kind == "event"
        self.value: Value = None
        self.time_ms = 0
        self._newest: Value = None
        self._newest_ms = 0
        # A point of which the config says nothing takes the short way: it may be a quick one.
        self._report = None if self.is_event or policy == Policy() else Report(policy)
        self._is_plain = self._report is None and config.kind is None and not config.invalid
        self._convert = Conversion(config, refused)
        self._apart_s = max(CATCH_UP_S, policy.held_back_s)
        self._interval = Interval(0.0 if self.is_event else _stale_after_s(report))
        self.expire_after_s = 0.0
        """Who hears nothing of it for so long may take it for gone; 0 while that is not known."""
        self._settle()

    @property
    def due_s(self) -> float:
        """When to call `release`, if nothing is taken before; infinite for never."""
        return NEVER_S if self._report is None else self._report.due_s

    @property
    def interval_s(self) -> float:
        """The time between two frames, as it was last announced; 0 while it is not known."""
        return self._interval.interval_s

    @property
    def newest(self) -> tuple[Value, int]:
        """What came last, published or not, and when it was read, in ms since 1970."""
        return self._newest, self._newest_ms

    def take(self, raw: Value, time_ms: int, now_s: float) -> bool:
        """What a frame said; True when it is to be published now."""
        if self._interval.heard(now_s):
            self._settle()
        self._newest, self._newest_ms = raw if self._is_plain else self._convert(raw), time_ms
        if self._report is None or self._report.offer(self._newest, now_s):
            self.value, self.time_ms = self._newest, time_ms
            return True
        return False

    def release(self, now_s: float) -> bool:
        """True when what waited is to be published now."""
        if self._report is None or not self._report.release(now_s):
            return False
        self.value, self.time_ms = self._newest, self._newest_ms
        return True

    def pause(self) -> None:
        """The device can't be heard for now."""
        self._interval.pause()

    def is_stale(self, now_s: float) -> bool:
        """Whether it has been silent for longer than it may."""
        return self._interval.is_silent(now_s)

    def _settle(self) -> None:
        if silence_s := self._interval.silence_s:
            self.expire_after_s = max(silence_s, rounded_up(TOLERANCE * self._apart_s))
            if self._report is not None:
                self._report.repeat_s = self.expire_after_s / REPEATS


def _stale_after_s(report: ReportConfig) -> float | None:
    match report.stale_after_s:
        case "never":
            return 0.0
        case "learned" | None:
            return None
        case seconds:
            return seconds
