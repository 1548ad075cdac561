"""A point's interval, learned from listening with a clock of the test's own."""

import math
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.points.interval import FIRST_GAPS, TOLERANCE, Interval, rounded_up


class Listening:
    """An interval, the time, and every `silence_s` that it announced."""

    def __init__(self, stale_after_s: float | None = None) -> None:
        self.interval = Interval(stale_after_s)
        self.now_s = 1_000.0
        self.announced: list[float] = []
        self.interval.heard(self.now_s)

    def hear(self, gaps_s: Iterable[float]) -> None:
        for gap_s in gaps_s:
            self.now_s += gap_s
            if self.interval.heard(self.now_s):
                self.announced.append(self.interval.silence_s)

    def is_silent_after(self, seconds: float) -> bool:
        return self.interval.is_silent(self.now_s + seconds)


def test_the_series_is_that_of_coins() -> None:
    assert [rounded_up(s) for s in (0, 0.3, 1, 1.01, 2, 3, 5, 6, 11, 50, 51, 3_600)] == [
        *(1, 1, 1, 2, 2, 5, 5, 10, 20, 50, 100, 5_000)
    ]


@given(st.floats(0, 1e9))
def test_nothing_is_rounded_down_nor_up_by_more_than_two_and_a_half(seconds: float) -> None:
    assert seconds <= rounded_up(seconds) <= max(1, 2.5 * seconds)


def test_nothing_is_stale_before_an_interval_is_known() -> None:
    listening = Listening()
    listening.hear([2.0] * (FIRST_GAPS - 1))
    assert not listening.is_silent_after(1e9)
    assert listening.interval.silence_s == 0


def test_a_steady_point_is_silent_when_the_third_frame_is_missing() -> None:
    listening = Listening()
    listening.hear([2.0] * FIRST_GAPS)
    assert listening.interval.interval_s == 2.0
    assert listening.announced == [10]
    assert not listening.is_silent_after(10)
    assert listening.is_silent_after(10.1)
    listening.hear([100.0])
    assert not listening.is_silent_after(0)


def test_lines_that_come_at_once_are_one_frame() -> None:
    listening = Listening()
    for _ in range(10):
        listening.hear([5.0, *[0.0] * 50])
    assert listening.announced == [20]


def test_a_hundred_lines_a_second_and_then_a_pause_have_the_pause_as_interval() -> None:
    listening = Listening()
    listening.hear([10.0] * FIRST_GAPS)
    for _ in range(20):
        listening.hear([*[0.01] * 100, 10.0])
        assert not listening.is_silent_after(10)
    assert listening.announced == [50]


def test_one_outage_is_not_learned_but_a_new_rhythm_is() -> None:
    listening = Listening()
    listening.hear([1.0] * 20)
    listening.hear([3_600.0])
    listening.hear([1.0] * 100)
    assert listening.announced == [5]
    listening.hear([60.0, 60.0])
    assert listening.announced == [5, 200]


def test_a_long_gap_now_and_then_is_learned_the_second_time() -> None:
    listening = Listening()
    for _ in range(3):
        listening.hear([*[1.0] * 12, 8.0])
    assert listening.announced == [5, 50]


def test_an_outage_whose_reason_is_known_is_no_gap_at_all() -> None:
    listening = Listening()
    listening.hear([1.0] * 20)
    for _ in range(10):
        listening.interval.pause()
        assert listening.is_silent_after(6)
        listening.hear([3_600.0, 1.0])
    assert listening.announced == [5]


def test_a_point_that_became_quick_is_found_silent_sooner() -> None:
    listening = Listening()
    listening.hear([10.0] * 40)
    listening.hear([1.0] * 100)
    assert listening.announced == [50, 5]


def test_an_interval_at_the_edge_of_two_steps_is_announced_once() -> None:
    listening = Listening()
    listening.hear([1.6, 1.7, 1.65] * 200)
    assert len(listening.announced) == 1
    listening = Listening()
    for _ in range(5):
        listening.hear([1.66] * 100)
        listening.hear([1.68] * 100)
    assert listening.announced == [5, 10]


@pytest.mark.parametrize(("given_s", "after_s", "is_silent"), [(30, 29, False), (30, 31, True)])
def test_what_the_config_says_is_not_learned(given_s: int, after_s: int, is_silent: bool) -> None:
    listening = Listening(given_s)
    assert listening.is_silent_after(after_s) is is_silent
    listening.hear([1.0] * 100)
    assert listening.announced == []
    assert listening.is_silent_after(after_s) is is_silent


def test_a_point_that_may_be_silent_is_never_stale() -> None:
    listening = Listening(0)
    listening.hear([1.0] * 100)
    assert not listening.is_silent_after(1e9)


GAPS = st.lists(st.floats(0, 1e4), max_size=200)


@given(GAPS)
def test_what_is_announced_at_least_doubles_or_halves(gaps_s: list[float]) -> None:
    listening = Listening()
    listening.hear(gaps_s)
    for before, after in pairwise(listening.announced):
        assert after >= 2 * before or after <= before / 2


@given(st.floats(0.002, 1e4), st.lists(st.floats(0.5, 1), max_size=200))
def test_a_point_that_keeps_its_rhythm_is_never_silent(
    interval_s: float, jitter: list[float]
) -> None:
    listening = Listening()
    for part in jitter:
        listening.hear([part * interval_s])
        assert not listening.is_silent_after(interval_s)
    silence_s = listening.interval.silence_s
    assert silence_s == 0 or silence_s <= max(1, 2.5 * TOLERANCE * interval_s)


@given(GAPS)
def test_it_is_silent_exactly_from_its_announcement_on(gaps_s: list[float]) -> None:
    listening = Listening()
    listening.hear(gaps_s)
    silence_s = listening.interval.silence_s or math.inf
    assert not listening.is_silent_after(min(silence_s * 0.99, 1e12))
    assert listening.is_silent_after(silence_s * 1.01 + 1) is (silence_s < math.inf)
