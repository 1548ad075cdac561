"""When values are published, with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.measurement import Value
from gateway.points.report import NEVER_S, Policy, Report, ReportConfig


class Said:
    """A report that is asked exactly when it wants to be; what came out of it, and when."""

    def __init__(self, **keys: object) -> None:
        self.report = Report(Policy.of(ReportConfig.model_validate(keys)))
        self.newest: Value = None
        self.now_s = 100.0
        self.all: list[tuple[float, Value]] = []

    @property
    def values(self) -> list[Value]:
        return [value for _, value in self.all]

    @property
    def seconds(self) -> list[float]:
        return [round(at_s - 100, 6) for at_s, _ in self.all]

    def offer(self, values: Iterable[Value], every_s: float = 1.0) -> Said:
        for value in values:
            self.newest = value
            self._note(self.report.offer(value, self.now_s))
            self.wait(every_s)
        return self

    def wait(self, seconds: float) -> Said:
        end_s = self.now_s + seconds
        while self.report.due_s <= end_s:
            self.now_s = self.report.due_s
            is_reported = self.report.release(self.now_s)
            assert is_reported, "what is due is published"
            self._note(True)
        self.now_s = end_s
        return self

    def _note(self, is_reported: bool) -> None:
        if is_reported:
            self.all.append((self.now_s, self.newest))


def test_without_a_section_each_value_is_published() -> None:
    assert Said().offer([1, 1, 2, None]).values == [1, 1, 2, None]


def test_on_change_publishes_changes_only() -> None:
    said = Said(on_change=True).offer([1, 1, 2, 2.0, None, None, "a", True, 1])
    assert said.values == [1, 2, None, "a", True, 1]


def test_every_publishes_the_newest_value_at_its_time() -> None:
    said = Said(every_s=10).offer(range(25))
    assert said.all == [(100, 0), (110, 9), (120, 19)]


def test_every_is_silent_when_nothing_comes() -> None:
    assert Said(every_s=10).offer([1, 2]).wait(100).all == [(100, 1), (110, 2)]


def test_both_publishes_changes_at_once_and_the_rest_every_so_often() -> None:
    said = Said(on_change=True, every_s=5).offer([1, 1, 2, 2, 2, 2, 2, 2, 2])
    assert said.all == [(100, 1), (102, 2), (107, 2)]


def test_a_change_within_the_dead_band_is_none_but_a_slow_drift_is() -> None:
    said = Said(dead_band=0.5).offer([20.0, 20.3, 20.5, 20.6, 20.2, 20.1, 20.0])
    assert said.values == [20.0, 20.6, 20.0]


def test_the_dead_band_in_percent_is_that_of_the_value_published_before() -> None:
    assert Said(dead_band_percent=10).offer([100, 109, 111, 121, 123]).values == [100, 111, 123]


def test_of_both_dead_bands_the_larger_counts() -> None:
    said = Said(dead_band=1, dead_band_percent=10)
    assert said.offer([0.5, 1.4, 1.6, 100, 109, 111]).values == [0.5, 1.6, 100, 111]


def test_a_step_of_exactly_the_dead_band_is_no_change_whatever_the_binary_fractions() -> None:
    assert Said(dead_band=0.2).offer([0.6, 0.8, 0.4, 0.81]).values == [0.6, 0.81]


def test_huge_numbers_are_compared_too() -> None:
    huge = 10**400
    assert Said(dead_band=0.5).offer([1.5, huge, huge, 1.5]).values == [1.5, huge, 1.5]


def test_coalescing_lets_the_first_through_at_once_and_the_newest_a_little_later() -> None:
    said = Said(max_per_s=2).offer([1, 2, 3], every_s=0.1).wait(10)
    assert said.all == [(100, 1), (100.5, 3)]


def test_a_chatty_point_is_published_as_often_as_it_may_be() -> None:
    said = Said(max_per_s=5).offer(range(1000), every_s=0.001)
    assert said.seconds == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert said.values[-1] == 999


def test_a_value_that_came_back_before_it_was_due_is_no_change() -> None:
    assert Said(on_change=True, max_per_s=1).offer([1, 2, 1], every_s=0.1).wait(5).values == [1]


def test_an_unchanged_value_that_keeps_coming_is_repeated() -> None:
    said = Said(on_change=True)
    said.report.repeat_s = 4.0
    assert said.offer([7] * 10).wait(100).seconds == [0, 4, 8, 12]


@pytest.mark.parametrize(
    ("keys", "held_back_s"),
    [({}, 0), ({"max_per_s": 2}, 0.5), ({"every_s": 60}, 60), ({"on_change": True}, 0)],
)
def test_how_long_a_policy_holds_back_what_did_not_change(
    keys: dict[str, object], held_back_s: float
) -> None:
    assert Policy.of(ReportConfig.model_validate(keys)).held_back_s == held_back_s


SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "on_change": st.just(True),
        "every_s": st.sampled_from([0.5, 3.0]),
        "max_per_s": st.sampled_from([0.5, 1.0, 4.0, 10.0]),
        "dead_band": st.sampled_from([0.5, 2.0]),
        "dead_band_percent": st.sampled_from([1.0, 50.0]),
    },
)
VALUES = st.one_of(
    st.integers(-50, 50), st.floats(-50, 50), st.none(), st.booleans(), st.sampled_from("ab")
)
OFFERS = st.lists(st.tuples(VALUES, st.floats(0, 2)), min_size=1, max_size=60)


def played(section: dict[str, object], offers: list[tuple[Value, float]]) -> Said:
    said = Said(**section)
    for value, pause_s in offers:
        said.offer([value], every_s=pause_s)
    return said


@given(SECTIONS, OFFERS)
def test_never_more_than_so_many_a_second(
    section: dict[str, object], offers: list[tuple[Value, float]]
) -> None:
    said = played(section, offers)
    rate = section.get("max_per_s")
    if isinstance(rate, float):
        for (before_s, _), (after_s, _) in pairwise(said.all):
            assert after_s - before_s >= 1 / rate - 1e-9


@given(SECTIONS, OFFERS)
def test_in_the_end_the_newest_is_published_or_what_is_no_change_from_it(
    section: dict[str, object], offers: list[tuple[Value, float]]
) -> None:
    said = played(section, offers)
    said.wait(1_000)
    assert said.report.due_s == NEVER_S
    policy = Policy.of(ReportConfig.model_validate(section))
    assert said.values[-1] is said.newest or not policy.is_change(said.values[-1], said.newest)


@given(SECTIONS, OFFERS)
def test_nothing_is_published_that_did_not_come_nor_in_another_order(
    section: dict[str, object], offers: list[tuple[Value, float]]
) -> None:
    said = played(section, offers)
    came = iter([value for value, _ in offers])
    assert all(any(value is one for one in came) for value in said.values)


@given(st.lists(st.floats(0, 0.05), min_size=1, max_size=200), st.sampled_from([1.0, 4.0, 50.0]))
def test_what_never_pauses_is_published_as_often_as_the_rate_allows(
    pauses_s: list[float], rate: float
) -> None:
    said = played({"max_per_s": rate}, list(enumerate(pauses_s)))
    ends_s = [*said.seconds, said.now_s - 100]
    for before_s, after_s in pairwise(ends_s):
        assert after_s - before_s <= 1 / rate + 0.05 + 1e-5


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(0.01, 100))
def test_what_is_published_is_never_further_off_than_the_dead_band(
    values: list[float], dead_band: float
) -> None:
    said = Said(dead_band=dead_band)
    for value in values:
        said.offer([value])
        published = said.values[-1]
        assert isinstance(published, float)
        assert abs(published - value) <= dead_band + 1e-5
