from __future__ import annotations

from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import topics
from broker.policy import (
    ADMIN_GROUP,
    ANONYMOUS,
    OPEN,
    Action,
    Decision,
    Policy,
    Rule,
    User,
)

PUBLISH, SUBSCRIBE = Action.PUBLISH, Action.SUBSCRIBE
BOTH = frozenset(Action)
HA = User("ha", frozenset({"homeassistant"}))
WALL = User("wall")

DOCUMENTED = Policy(
    (
        Rule(True, BOTH, ("homeassistant/#", "fieldgate/#"), group="homeassistant"),
        Rule(True, frozenset({SUBSCRIBE}), ("fieldgate/#",), user="wall"),
        Rule(False, BOTH, ("#",), user="*"),
    )
)


@pytest.mark.parametrize(
    ("user", "action", "name", "allowed"),
    [
        (HA, PUBLISH, "homeassistant/status", True),
        (HA, PUBLISH, "fieldgate/boiler/set", True),
        (HA, PUBLISH, "elsewhere", False),
        (WALL, SUBSCRIBE, "fieldgate/boiler", True),
        (WALL, PUBLISH, "fieldgate/boiler/set", False),
        (WALL, SUBSCRIBE, "homeassistant/status", False),
        (ANONYMOUS, SUBSCRIBE, "fieldgate/boiler", False),
        (User("ha"), PUBLISH, "homeassistant/status", False),  # the name is not the group
        (HA, SUBSCRIBE, "$SYS/broker/uptime", False),
        (HA, PUBLISH, "fieldgate/+", False),
        (HA, PUBLISH, "fieldgate/#", False),
        (HA, PUBLISH, "", False),
    ],
)
def test_the_first_rule_that_matches_decides_and_nothing_matching_denies(
    user: User, action: Action, name: str, allowed: bool
) -> None:
    assert DOCUMENTED.may(user, action, name) is allowed


@pytest.mark.parametrize(
    ("rules", "topic_filter", "granted"),
    [
        ([(True, "sensors/+")], "sensors/#", False),
        ([(True, "sensors/+")], "sensors/+", True),
        ([(True, "sensors/#")], "sensors", True),
        ([(True, "#")], "#", True),
        ([(True, "#")], "$SYS/#", False),
        ([(True, "#"), (False, "secret/#")], "#", True),
        ([(False, "secret/#"), (True, "#")], "#", False),
        ([(False, "secret/#"), (True, "#")], "+/x", False),
        ([(False, "secret/#"), (True, "#")], "open/#", True),
        ([(True, "a/b"), (False, "a/#"), (True, "a/c")], "a/b", True),
        ([(True, "a/b"), (False, "a/#"), (True, "a/c")], "a/c", False),
        ([(True, "a/+"), (True, "b/+")], "+/x", False),
        ([(True, "#")], "", False),
        ([], "a", False),
    ],
)
def test_a_subscription_needs_an_allow_that_covers_it_before_any_deny_that_overlaps(
    rules: list[tuple[bool, str]], topic_filter: str, granted: bool
) -> None:
    policy = Policy(tuple(Rule(allow, BOTH, (topic,), user="*") for allow, topic in rules))
    assert policy.grants(ANONYMOUS, topic_filter) is granted


OWN = Policy((Rule(True, BOTH, ("home/%u/#", "clients/%c", "both/%u-%c"), user="*"),))


@pytest.mark.parametrize(
    ("name", "client_id", "topic", "allowed"),
    [
        ("ada", None, "home/ada/lamp", True),
        ("ada", None, "home/bob/lamp", False),
        ("ada", "c1", "clients/c1", True),
        ("ada", "c1", "both/ada-c1", True),
        ("ada", None, "clients/c1", False),
        ("ada", "", "clients/", False),
        (None, "c1", "clients/c1", True),
        (None, "c1", "home//lamp", False),
        ("a/b", "c1", "home/a/b/lamp", False),
        ("+", "c1", "home/ada/lamp", False),
        ("#", "c1", "home/ada/lamp", False),
        ("a\0", "c1", "home/a\0/lamp", False),
        ("a/b", "c1", "clients/c1", True),
        ("ada", "+", "clients/c1", False),
        ("ada", "#", "clients/c1", False),
        ("%c", "c1", "home/c1/lamp", False),  # what is filled in is not filled in again
        ("%c", "c1", "home/%c/lamp", True),
    ],
)
def test_user_and_client_id_are_filled_in_and_can_not_widen_a_rule(
    name: str | None, client_id: str | None, topic: str, allowed: bool
) -> None:
    user = User(name)
    assert OWN.may(user, PUBLISH, topic, client_id=client_id) is allowed
    assert OWN.grants(user, topic, client_id=client_id) is (allowed and "\0" not in topic)


def test_a_client_id_of_a_reserved_name_opens_no_reserved_topics() -> None:
    policy = Policy((Rule(True, BOTH, ("%c/#",), user="*"),))
    assert policy.grants(ANONYMOUS, "me/#", client_id="me")
    assert not policy.grants(ANONYMOUS, "$SYS/#", client_id="$SYS")


def test_without_users_everything_is_allowed_and_nothing_reserved_is_written() -> None:
    assert OPEN.may(ANONYMOUS, PUBLISH, "a/b")
    assert OPEN.grants(ANONYMOUS, "#")
    assert OPEN.grants(ANONYMOUS, "$SYS/broker/+")
    assert not OPEN.may(ANONYMOUS, PUBLISH, "$SYS/broker/uptime")
    assert OPEN.filters_granted(ANONYMOUS, PUBLISH) == ("#",)
    assert OPEN.filters_granted(ANONYMOUS, SUBSCRIBE) == ("#", "$SYS/#")


def test_the_admin_group_is_what_opens_the_admin_calls() -> None:
    assert User("ada", frozenset({ADMIN_GROUP})).may_administer
    assert not User(ADMIN_GROUP).may_administer


def test_an_explanation_names_the_rule_that_decides_and_the_filter_in_it() -> None:
    granted = DOCUMENTED.explain(WALL, SUBSCRIBE, "fieldgate/#")
    assert granted == Decision(True, 2, DOCUMENTED.rules[1], "fieldgate/#")
    denied = DOCUMENTED.explain(WALL, PUBLISH, "fieldgate/x")
    assert denied == Decision(False, 3, DOCUMENTED.rules[2], "#")
    assert DOCUMENTED.explain(HA, SUBSCRIBE, "$SYS/#") == Decision(allowed=False)
    filled_in = OWN.explain(WALL, PUBLISH, "home/wall/lamp")
    assert filled_in.topic_filter == "home/wall/#"


def test_the_filters_granted_leave_out_what_an_earlier_rule_denies() -> None:
    policy = Policy(
        (
            Rule(False, BOTH, ("a/secret",), user="*"),
            Rule(True, BOTH, ("a/+", "a/secret", "b/%u", "b/%c"), user="*"),
        )
    )
    assert policy.filters_granted(WALL, PUBLISH) == ("a/+", "b/wall")
    assert policy.filters_granted(WALL, SUBSCRIBE) == ("b/wall",)


def test_what_is_asked_for_besides_is_listed_where_it_is_granted() -> None:
    policy = Policy(
        (
            Rule(False, BOTH, ("secret/#",), user="*"),
            Rule(True, BOTH, ("#",), user="*"),
        )
    )
    asked = ("fieldgate/#", "secret/#", "+/x", "fieldgate/+")
    assert policy.filters_granted(WALL, SUBSCRIBE) == ()
    assert policy.filters_granted(WALL, SUBSCRIBE, besides=asked) == ("fieldgate/#",)
    assert policy.filters_granted(WALL, PUBLISH, besides=asked) == ("#",)
    assert policy.allows_something(WALL)


def test_somebody_whom_no_rule_allows_anything_is_allowed_nothing() -> None:
    policy = Policy(
        (
            Rule(False, BOTH, ("a/#",), user="*"),
            Rule(True, BOTH, ("a/b", "home/%u"), user="*"),
            Rule(True, BOTH, ("#",), user="ada"),
        )
    )
    assert not policy.allows_something(ANONYMOUS)
    assert policy.allows_something(WALL)


def test_a_rule_that_is_denied_in_part_still_allows_something() -> None:
    policy = Policy(
        (
            Rule(False, BOTH, ("secret/#",), user="*"),
            Rule(True, frozenset({SUBSCRIBE}), ("#",), user="*"),
        )
    )
    assert policy.grants(ANONYMOUS, "open/#")
    assert policy.allows_something(ANONYMOUS)


LEVELS = ("a", "b", "$s")
NAMES = ["/".join(levels) for n in (1, 2, 3) for levels in product(LEVELS, repeat=n)]
FILTERS = [
    f
    for n in (1, 2, 3)
    for levels in product((*LEVELS, "+", "#", "%u"), repeat=n)
    if "#" not in levels[:-1] and (f := "/".join(levels))
]
rules = st.builds(
    Rule,
    allow=st.booleans(),
    actions=st.sets(st.sampled_from(list(Action)), min_size=1).map(frozenset),
    topics=st.lists(st.sampled_from(FILTERS), min_size=1, max_size=3).map(tuple),
    user=st.sampled_from(["*", "a", "b"]),
)
users = st.sampled_from([ANONYMOUS, User("a"), User("b"), User("+")])


@given(st.lists(rules, max_size=6), users, st.sampled_from([f for f in FILTERS if "%" not in f]))
def test_no_topic_that_a_granted_filter_matches_is_denied(
    some_rules: list[Rule], user: User, topic_filter: str
) -> None:
    policy = Policy(tuple(some_rules))
    if policy.grants(user, topic_filter):
        seen = [name for name in NAMES if topics.matches(topic_filter, name)]
        assert all(policy.may(user, SUBSCRIBE, name) for name in seen)


@given(st.lists(rules, max_size=6), users, st.sampled_from(NAMES))
def test_a_filter_without_wildcards_is_granted_exactly_when_the_topic_may_be_seen(
    some_rules: list[Rule], user: User, name: str
) -> None:
    policy = Policy(tuple(some_rules))
    assert policy.grants(user, name) == policy.may(user, SUBSCRIBE, name)


plain_filters = st.sampled_from([f for f in FILTERS if "%" not in f])


@given(st.lists(rules, max_size=6), users, st.lists(plain_filters, max_size=4))
def test_what_is_listed_for_subscribing_is_granted_and_nothing_that_is_granted_is_missing(
    some_rules: list[Rule], user: User, besides: list[str]
) -> None:
    policy = Policy(tuple(some_rules))
    listed = policy.filters_granted(user, SUBSCRIBE, besides=besides)
    assert all(policy.grants(user, topic_filter) for topic_filter in listed)
    named = [
        f
        for rule in some_rules
        if rule.speaks_of(user, SUBSCRIBE)
        for f in rule.filters(user, None)
    ]
    for topic_filter in [*named, *besides]:
        is_listed = any(topics.covers(wide, topic_filter) for wide in listed)
        assert is_listed == policy.grants(user, topic_filter)


@given(st.lists(rules, max_size=6), users, st.sampled_from(NAMES))
def test_nobody_may_publish_where_no_listed_filter_matches(
    some_rules: list[Rule], user: User, name: str
) -> None:
    policy = Policy(tuple(some_rules))
    listed = policy.filters_granted(user, PUBLISH)
    if policy.may(user, PUBLISH, name):
        assert any(topics.matches(topic_filter, name) for topic_filter in listed)


@given(st.lists(rules, max_size=6), users, st.sampled_from(list(Action)))
def test_no_listed_filter_lies_within_another(
    some_rules: list[Rule], user: User, action: Action
) -> None:
    policy = Policy(tuple(some_rules))
    listed = policy.filters_granted(user, action)
    assert not [
        (wide, narrow) for wide, narrow in permutations(listed, 2) if topics.covers(wide, narrow)
    ]
    if listed:
        assert policy.allows_something(user)
