"""Rolling up: from the buckets of seconds to those of minutes and hours. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from webui.history.bucket import Bucket
from webui.history.level import HOUR, MINUTE, Level


class Coarse:
    """Minutes and hours of samples that belong into them now.

    Those are samples before `rolled_up`, by series: what comes later is rolled up with all that is
    in `raw` by then, and only noted as `later` here.
    """

    def __init__(self, rolled_up: Mapping[int, int]) -> None:
        self._rolled_up = rolled_up
        self._buckets: dict[Level, dict[tuple[int, int], Bucket]] = {MINUTE: {}, HOUR: {}}
        self.later: set[int] = set()

    def add(self, series: int, bucket: Bucket) -> None:
        """Take the bucket of a second."""
        if bucket.start >= self._rolled_up[series]:
            self.later.add(series)
            return
        for level, buckets in self._buckets.items():
            wide = bucket.within(level.width_s)
            known = buckets.setdefault((series, wide.start), wide)
            if known is not wide:
                known.merge(wide)

    def noting(self, buckets: Iterable[tuple[int, Bucket]]) -> Iterator[tuple[int, Bucket]]:
        """Take each one that passes."""
        for series, bucket in buckets:
            self.add(series, bucket)
            yield series, bucket

    def of(self, level: Level) -> Iterator[tuple[int, Bucket]]:
        """The minutes, or the hours, by series."""
        return ((series, bucket) for (series, _), bucket in self._buckets[level].items())
