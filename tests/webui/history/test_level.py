from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.history.level import (
    HOUR,
    LEVELS,
    MINUTE,
    MOST_ROWS,
    RAW,
    Level,
    Part,
    Reach,
    level_for,
    parts,
    spacing_s,
)

DAY_S = 86_400
YEAR_S = 365 * DAY_S


@pytest.mark.parametrize(
    ("span_s", "points", "level"),
    [
        (300, 1000, RAW),
        (3600, 1000, RAW),
        (8 * 3600, 1000, RAW),
        (12 * 3600, 1000, MINUTE),
        (DAY_S, 1000, MINUTE),
        (DAY_S, 10_000, MINUTE),
        (20 * DAY_S, 1000, MINUTE),
        (30 * DAY_S, 1000, HOUR),
        (YEAR_S, 1000, HOUR),
        (YEAR_S, 10_000, HOUR),
        (100 * YEAR_S, 1000, HOUR),
        (YEAR_S, 10, HOUR),
    ],
)
def test_a_question_goes_to_the_level_that_fills_every_point_and_is_affordable(
    span_s: int, points: int, level: Level
) -> None:
    assert level_for(spacing_s(0, span_s, points), span_s) is level


@given(st.integers(0, 10**10), st.integers(1, 10**10), st.integers(10, 10_000))
def test_no_question_is_too_much_for_its_level(start: int, span_s: int, points: int) -> None:
    spacing = spacing_s(start, start + span_s, points)
    level = level_for(spacing, span_s)
    assert level is HOUR or span_s // level.width_s <= MOST_ROWS
    first_slot, last_slot = start // spacing, (start + span_s - 1) // spacing
    assert last_slot - first_slot + 2 <= points


@given(
    st.sampled_from(LEVELS),
    st.tuples(*[st.integers(0, 5000)] * 3),
    st.integers(0, 300_000),
    st.integers(1, 300_000),
)
def test_every_stretch_of_time_has_one_that_answers_for_it(
    level: Level, reaches: tuple[int, int, int], start: int, span_s: int
) -> None:
    minute_since, raw_since, rolled_up = sorted(reaches)
    reach = Reach(raw_since * 60, minute_since // 60 * 3600, rolled_up * 60)
    found = list(parts(level, reach, start, start + span_s))
    assert [LEVELS.index(part.level) for part in found] == sorted(
        (LEVELS.index(part.level) for part in found), reverse=True
    )
    assert found[-1].end_s == start + span_s
    assert start - found[0].level.width_s < found[0].start_s <= start
    assert all(one.end_s == other.start_s for one, other in pairwise(found))
    for part in found:
        assert part.start_s < part.end_s
        if part.level is not HOUR:
            assert part.end_s > reach.minute_since
        if part.level is MINUTE:
            assert part.end_s <= max(reach.rolled_up, reach.raw_since)


def test_a_level_answers_as_far_as_it_goes() -> None:
    reach = Reach(raw_since=10_800, minute_since=7200, rolled_up=14_460)
    assert list(parts(RAW, reach, 3601, 20_000)) == [
        Part(HOUR, 3600, 7200),
        Part(MINUTE, 7200, 10_800),
        Part(RAW, 10_800, 20_000),
    ]
    assert list(parts(MINUTE, reach, 7301, 20_000)) == [
        Part(MINUTE, 7260, 14_460),
        Part(RAW, 14_460, 20_000),
    ]
    assert list(parts(HOUR, reach, 14_450, 20_000)) == [
        Part(HOUR, 14_400, 14_460),
        Part(RAW, 14_460, 20_000),
    ]
    assert list(parts(HOUR, reach, 14_470, 20_000)) == [Part(RAW, 14_470, 20_000)]
