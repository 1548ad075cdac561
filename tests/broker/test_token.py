from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.access import ANONYMOUS, Action, User
from broker.token import Token, digest_of, new_secret, parse_lifetime


def token(
    subscribe: tuple[str, ...] = (), publish: tuple[str, ...] = (), expires_s: float | None = None
) -> Token:
    return Token("bench", "0" * 64, subscribe, publish, 0, expires_s)


def test_a_secret_needs_no_quoting_and_is_never_the_same() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(re.fullmatch("fieldgate_[A-Za-z0-9_-]{43}", secret) for secret in secrets)
    assert len({digest_of(secret) for secret in secrets}) == 100


@given(st.text())
def test_anything_that_is_shown_has_a_digest(secret: str) -> None:
    assert re.fullmatch("[0-9a-f]{64}", digest_of(secret))


def test_a_token_may_what_its_filters_say_and_no_more() -> None:
    policy = token(("fieldgate/#", "a/+"), ("lamp/+/set",)).policy
    assert policy.filters_granted(ANONYMOUS, Action.SUBSCRIBE) == ("fieldgate/#", "a/+")
    assert policy.filters_granted(ANONYMOUS, Action.PUBLISH) == ("lamp/+/set",)
    assert policy.grants(ANONYMOUS, "fieldgate/boiler/+")
    assert not policy.grants(ANONYMOUS, "#")
    assert policy.may(ANONYMOUS, Action.PUBLISH, "lamp/hall/set")
    assert not policy.may(ANONYMOUS, Action.PUBLISH, "fieldgate/boiler")
    assert not policy.may(User("ada"), Action.SUBSCRIBE, "lamp/hall/set")


@pytest.mark.parametrize("action", list(Action))
def test_a_token_without_filters_of_a_kind_may_nothing_of_it(action: Action) -> None:
    one_sided = token(publish=("#",)) if action is Action.SUBSCRIBE else token(subscribe=("#",))
    assert one_sided.policy.filters_granted(ANONYMOUS, action) == ()


def test_it_ends_at_its_time_or_never() -> None:
    assert not token(expires_s=10).is_over(9.9)
    assert token(expires_s=10).is_over(10)
    assert not token().is_over(1e12)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("15m", 900),
        ("12h", 43_200),
        ("90d", 7_776_000),
        ("52w", 31_449_600),
        ("never", None),
    ],
)
def test_a_lifetime_is_a_number_and_a_unit(text: str, seconds: float | None) -> None:
    assert parse_lifetime(text) == seconds


@pytest.mark.parametrize("text", ["", "0d", "-1d", "1", "d", "1y", "1.5h", "1 d", "999999999w"])
def test_a_lifetime_that_is_none_says_how_one_looks(text: str) -> None:
    with pytest.raises(ValueError, match="say 90d, 12h, 30m, 52w or never"):
        parse_lifetime(text)
