"""What has been sampled since the file was last written. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from webui.history.bucket import Bucket
from webui.history.series import SeriesKey


@dataclass(slots=True)
class Batch:
    """Buckets of a second. `number` grows by one from batch to batch, so that a reader knows which
    ones the file holds already.

    `live` are buckets by series, in the order in which they came; `late` are those of backlogs,
    which may be a repeat of what the file holds. `series` are those that the file doesn't know yet.
    """

    number: int
    series: dict[int, SeriesKey] = field(default_factory=dict)
    live: dict[int, list[Bucket]] = field(default_factory=dict)
    late: dict[tuple[int, int], Bucket] = field(default_factory=dict)
    """By series and second."""
    size: int = 0
    """How many buckets there are."""

    def __bool__(self) -> bool:
        return bool(self.size or self.series)

    def sample(self, series: int, time_ms: int, value: float, *, room: int) -> bool:
        """Take a sample that has just come; false where its bucket finds no room."""
        second = time_ms // 1000
        buckets = self.live.get(series)
        if buckets is not None and buckets[-1].start == second:
            buckets[-1].add(time_ms, value)
            return True
        if self.size >= room:
            return False
        self.size += 1
        bucket = Bucket.of(second, time_ms, value)
        if buckets is None:
            self.live[series] = [bucket]
        else:
            buckets.append(bucket)
        return True

    def late_sample(self, series: int, time_ms: int, value: float, *, room: int) -> bool | None:
        """Take one of a backlog; false where it finds no room, None where it is a repeat."""
        key = series, time_ms // 1000
        bucket = self.late.get(key)
        if bucket is None:
            if self.size >= room:
                return False
            self.size += 1
            self.late[key] = Bucket.of(key[1], time_ms, value)
        elif bucket.spans(time_ms, time_ms):
            return None
        else:
            bucket.add(time_ms, value)
        return True

    def of(self, series: int) -> Iterator[Bucket]:
        """The live buckets of one series."""
        yield from self.live.get(series, ())

    def followed_by(self, newer: Batch) -> Batch:
        """This batch, which could not be written, and the one after it in one."""
        self.number = newer.number
        self.series |= newer.series
        for series, buckets in newer.live.items():
            self.live.setdefault(series, []).extend(buckets)
        for key, bucket in newer.late.items():
            mine = self.late.get(key)
            if mine is None:
                self.late[key] = bucket
            elif not mine.spans(bucket.first_ms, bucket.last_ms):
                mine.merge(bucket)
        self.size = sum(map(len, self.live.values())) + len(self.late)
        return self
