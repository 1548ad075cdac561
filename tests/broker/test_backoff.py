"""The waits between attempts grow, stay bounded, and begin anew after a real connection."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from broker.backoff import FIRST_S, LASTED_S, MOST_S, Backoff


class Latest(random.Random):
    """Chance that always says the most."""

    def uniform(self, _a: float, b: float) -> float:
        return b


def test_waits_double_up_to_the_most() -> None:
    backoff = Backoff(Latest())
    assert [backoff.next_s() for _ in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


@given(st.integers(0), st.integers(1, 50))
def test_chance_takes_at_most_half_of_a_wait_away(seed: int, count: int) -> None:
    backoff, full = Backoff(random.Random(seed)), Backoff(Latest())
    for _ in range(count):
        most = full.next_s()
        assert most / 2 <= backoff.next_s() <= most <= MOST_S


def test_a_connection_that_lasted_makes_the_next_wait_short() -> None:
    backoff = Backoff(Latest())
    for _ in range(6):
        backoff.next_s()
    backoff.lasted(LASTED_S - 0.1)
    assert backoff.next_s() == MOST_S
    backoff.lasted(LASTED_S)
    assert backoff.next_s() == FIRST_S
