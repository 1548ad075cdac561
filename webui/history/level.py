"""The three levels that history is kept at, and which of them answers a question. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Level:
    """One table of buckets that are `width_s` seconds wide."""

    table: str
    width_s: int


RAW = Level("raw", 1)
MINUTE = Level("minute", 60)
HOUR = Level("hour", 3600)
LEVELS = (RAW, MINUTE, HOUR)

MOST_ROWS = 30_000
"""Rows that one answer may be made of: some 15 ms. Beyond it a coarser level answers."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far each level goes, in seconds since 1970.

    Raw is complete from `raw_since` on, minutes from `minute_since` on. Minutes and hours hold
    what was before `rolled_up`; what came since is in raw only.
    """

    raw_since: int = 0
    minute_since: int = 0
    rolled_up: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of time that one level answers for: from `start_s` to before `end_s`."""

    level: Level
    start_s: int
    end_s: int


def spacing_s(start_s: int, end_s: int, points: int) -> int:
    """How wide the slots of an answer are, on a grid that begins in 1970, to be `points` at most.

    A whole number of seconds. `points` is at least 3: the grid may cut the ends of the stretch,
    and the bucket in which it begins may have begun in a slot before.
    """
    return max(1, -(-(end_s - start_s) // (points - 2)))


def level_for(spacing: int, span_s: int) -> Level:
    """The coarsest level that still fills every slot; a coarser one where that is too many rows."""
    fine_enough = [level for level in LEVELS if level.width_s <= spacing]
    affordable = [level for level in LEVELS if span_s // level.width_s <= MOST_ROWS]
    finest = affordable[0] if affordable else HOUR
    return max(fine_enough[-1], finest, key=lambda level: level.width_s)


def parts(level: Level, reach: Reach, start_s: int, end_s: int) -> Iterator[Part]:
    """Who answers for which stretch, in order of time: where a level has nothing, the next does."""
    raw_from = reach.raw_since if level is RAW else reach.rolled_up
    minute_from = raw_from if level is HOUR else min(reach.minute_since, raw_from)
    for each, begin, end in (
        (HOUR, start_s, minute_from),
        (MINUTE, minute_from, raw_from),
        (RAW, raw_from, end_s),
    ):
        begin, end = max(begin, start_s), min(end, end_s)
        if begin < end:  # the bucket in which the stretch begins counts as a whole
            yield Part(each, begin - begin % each.width_s, end)
