from __future__ import annotations

import pytest

from broker.attempts import MAX_KEYS, Allowance, Attempts, source_of


def test_a_burst_is_free_and_then_one_try_a_while() -> None:
    allowance = Allowance(burst=3, refill_s=10)
    for _ in range(3):
        assert allowance.wait_s(("a",), 100) == 0
        allowance.wrong(("a",), 100)
    assert allowance.wait_s(("a",), 100) == 10
    assert allowance.wait_s(("a",), 106) == 4
    assert allowance.wait_s(("a",), 110) == 0
    assert allowance.wait_s(("b",), 100) == 0


def test_what_is_long_past_is_forgiven() -> None:
    allowance = Allowance(burst=3, refill_s=10)
    for _ in range(3):
        allowance.wrong(("a",), 0)
    for _ in range(2):
        assert allowance.wait_s(("a",), 1000) == 0
        allowance.wrong(("a",), 1000)
    assert allowance.wait_s(("a",), 1000) == 0


def test_the_table_forgets_who_erred_longest_ago() -> None:
    allowance = Allowance(burst=1, refill_s=10)
    for number in range(MAX_KEYS + 1):
        allowance.wrong((str(number),), 0)
    assert allowance.wait_s(("0",), 0) == 0
    assert allowance.wait_s(("1",), 0) == 10


def test_one_stale_password_locks_out_its_name_and_not_its_address() -> None:
    attempts = Attempts()
    for _ in range(20):
        attempts.wrong("10.0.0.1", "sensor", 0)
    assert attempts.wait_s("10.0.0.1", "sensor", 0) > 0
    assert attempts.wait_s("10.0.0.1", "ada", 0) == 0
    assert attempts.wait_s("10.0.0.2", "sensor", 0) == 0


def test_an_address_that_tries_many_names_has_to_wait_too() -> None:
    attempts = Attempts()
    for number in range(100):
        attempts.wrong("10.0.0.1", f"user{number}", 0)
    assert attempts.wait_s("10.0.0.1", "another", 0) > 0


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:2", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_an_address_counts_as_one_however_it_is_written(address: str, source: str) -> None:
    assert source_of(address) == source
