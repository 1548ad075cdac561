"""A bucket: what became of one series in one second, minute or hour. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Row: TypeAlias = tuple[int, int, int, float, float, float, float, int]
"""A bucket as it lies in the file: start, first, last_at (both after the start), low, mean, high,
last, count."""


@dataclass(slots=True)
class Bucket:
    """Samples, as far as they are remembered. Never empty.

    `start` is in seconds since 1970; `first_ms` and `last_ms` are the times of the earliest and
    the latest sample, in ms since 1970, and `last` is the latest one's value.
    """

    start: int
    first_ms: int
    last_ms: int
    low: float
    total: float
    high: float
    last: float
    count: int

    @classmethod
    def of(cls, start: int, time_ms: int, value: float) -> Bucket:
        """A bucket with one sample."""
        return cls(start, time_ms, time_ms, value, value, value, value, 1)

    @classmethod
    def from_row(cls, row: Row) -> Bucket:
        """The bucket that lies in the file."""
        start, first, last_at, low, mean, high, last, count = row
        begin_ms = start * 1000
        return cls(
            start, begin_ms + first, begin_ms + last_at, low, mean * count, high, last, count
        )

    @property
    def row(self) -> Row:
        """How it lies in the file."""
        begin_ms = self.start * 1000
        return (
            self.start,
            self.first_ms - begin_ms,
            self.last_ms - begin_ms,
            self.low,
            self.mean,
            self.high,
            self.last,
            self.count,
        )

    @property
    def mean(self) -> float:
        return self.total / self.count

    def add(self, time_ms: int, value: float) -> None:
        """Take one more sample; they may come in any order."""
        if value < self.low:
            self.low = value
        elif value > self.high:
            self.high = value
        self.total += value
        self.count += 1
        if time_ms >= self.last_ms:
            self.last_ms, self.last = time_ms, value
        elif time_ms < self.first_ms:
            self.first_ms = time_ms

    def merge(self, other: Bucket) -> None:
        """Take another's samples, too."""
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        self.total += other.total
        self.count += other.count
        if other.last_ms >= self.last_ms:
            self.last_ms, self.last = other.last_ms, other.last
        self.first_ms = min(self.first_ms, other.first_ms)

    def spans(self, first_ms: int, last_ms: int) -> bool:
        """Whether the time from its first to its last sample overlaps this one."""
        return self.first_ms <= last_ms and first_ms <= self.last_ms

    def within(self, width_s: int) -> Bucket:
        """The same samples in a bucket of that width."""
        start = self.start - self.start % width_s
        return Bucket(
            start,
            self.first_ms,
            self.last_ms,
            self.low,
            self.total,
            self.high,
            self.last,
            self.count,
        )
