"""Samples for tests, and what is to become of them by the simplest reckoning there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import strategies as st

NOON_S = 1_795_262_400
"""2026-11-21 12:00 UTC: begins a second, a minute and an hour."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series; `time_ms` since 1970."""

    time_ms: int
    value: float


def samples(span_s: int, *, most: int = 40) -> st.SearchStrategy[list[Sample]]:
    """Samples of some time from noon on, in any order; many share a second."""
    second = st.integers(0, span_s - 1) | st.integers(0, min(span_s, 5) - 1)
    return st.lists(
        st.builds(
            lambda second, ms, value: Sample((NOON_S + second) * 1000 + ms, float(value)),
            second,
            st.integers(0, 999),
            st.integers(-1000, 1000),
        ),
        max_size=most,
    )


@dataclass(frozen=True, slots=True)
class Expected:
    """What a bucket is to say of its samples."""

    first_ms: int
    low: float
    mean: float
    high: float
    last: float
    count: int


def expected(all_samples: Iterable[Sample], width_s: int) -> dict[int, Expected]:
    """By bucket start. Of samples at the same time, the one that came last is the last."""
    grouped = defaultdict[int, list[Sample]](list)
    for sample in all_samples:
        grouped[sample.time_ms // 1000 // width_s * width_s].append(sample)
    return {start: _expected(grouped[start]) for start in sorted(grouped)}


def _expected(group: list[Sample]) -> Expected:
    values = [sample.value for sample in group]
    return Expected(
        min(sample.time_ms for sample in group),
        min(values),
        sum(values) / len(values),
        max(values),
        max(enumerate(group), key=lambda pair: (pair[1].time_ms, pair[0]))[1].value,
        len(values),
    )
