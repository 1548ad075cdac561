from __future__ import annotations

import pytest

from broker.errors import TopicError
from broker.policy import ANONYMOUS, User
from broker.users_file import parse_users
from broker.verdict import explained

POLICY = parse_users(
    """
rules:
  - {user: "*", deny: [subscribe], topics: ["plant/secret", "half/+/b"]}
  - {group: staff, allow: [publish, subscribe], topics: ["plant/#"]}
  - {user: wall, allow: [subscribe], topics: ["plant/+", "half/#"]}
  - {user: "*", allow: [publish], topics: ["own/%u", "clients/%c/#"]}
  - {user: "*", deny: [publish], topics: ["#"]}
  - {user: ada, allow: [publish, subscribe], topics: ["late/#"]}
"""
).policy
ADA, WALL = User("ada", frozenset({"staff"})), User("wall")
RULE_1 = '  {user: "*", deny: [subscribe], topics: ["plant/secret", "half/+/b"]}'
RULE_2 = '  {group: staff, allow: [publish, subscribe], topics: ["plant/#"]}'
RULE_3 = '  {user: wall, allow: [subscribe], topics: ["plant/+", "half/#"]}'
RULE_4 = '  {user: "*", allow: [publish], topics: ["own/%u", "clients/%c/#"]}'
RULE_5 = '  {user: "*", deny: [publish], topics: ["#"]}'


def said(user: User, topic: str, client_id: str | None = None) -> tuple[list[str], list[str]]:
    """What is said of publishing, and of subscribing."""
    lines = [*explained(POLICY, user, topic, client_id=client_id, where="u.yaml")]
    at = next(place for place, line in enumerate(lines) if line.startswith("subscribe: "))
    return lines[:at], lines[at:]


def test_what_is_allowed_is_by_a_rule_at_a_line() -> None:
    publish, subscribe = said(ADA, "plant/boiler")
    assert publish == [
        "publish: allowed by rule 2 (u.yaml:4)",
        RULE_2,
        "  because it is for the group staff, and its plant/# matches plant/boiler",
    ]
    assert subscribe == [
        "subscribe: allowed by rule 2 (u.yaml:4)",
        RULE_2,
        "  because it is for the group staff, and its plant/# covers all of plant/boiler",
    ]


def test_what_is_denied_says_which_rule_would_have_allowed_it_and_why_it_does_not() -> None:
    publish, subscribe = said(WALL, "plant/secret")
    assert publish == [
        "publish: denied by rule 5 (u.yaml:7)",
        RULE_5,
        "  because it is for anybody, and its # matches plant/secret",
        "  rule 2 (u.yaml:4) would allow it, but it is for the group staff",
    ]
    assert subscribe == [
        "subscribe: denied by rule 1 (u.yaml:3)",
        RULE_1,
        "  because it is for anybody, and its plant/secret covers plant/secret",
        "  rule 2 (u.yaml:4) would allow it, but it is for the group staff",
        "  rule 3 (u.yaml:5) would allow it, but stands behind rule 1",
    ]
    assert said(ADA, "late/x")[0][-1] == (
        "  rule 6 (u.yaml:8) would allow it, but stands behind rule 5"
    )


def test_a_filter_is_granted_as_a_whole_or_not_at_all() -> None:
    assert said(WALL, "half/#")[1] == [
        "subscribe: denied by rule 1 (u.yaml:3)",
        RULE_1,
        (
            "  because it is for anybody, and its half/+/b overlaps half/#, which is granted as a"
            " whole or not at all"
        ),
        "  rule 3 (u.yaml:5) would allow it, but stands behind rule 1",
    ]
    assert said(WALL, "+/x/#")[1] == [
        "subscribe: denied by rule 1 (u.yaml:3)",
        RULE_1,
        (
            "  because it is for anybody, and its half/+/b overlaps +/x/#, which is granted as a"
            " whole or not at all"
        ),
        "  rule 3 (u.yaml:5) allows only plant/+, which is not all of +/x/#",
    ]


def test_no_rule_denies() -> None:
    _, subscribe = said(WALL, "else/where")
    assert subscribe == [
        (
            "subscribe: denied, because no rule covers else/where for wall, and what no rule allows"
            " is denied"
        )
    ]
    assert said(ANONYMOUS, "late/x")[1] == [
        (
            "subscribe: denied, because no rule covers late/x for somebody without a login, and"
            " what no rule allows is denied"
        ),
        "  rule 6 (u.yaml:8) would allow it, but it is for the user ada",
    ]


@pytest.mark.parametrize(
    ("user", "client_id", "topic", "line"),
    [
        (WALL, None, "own/wall", "  because it is for anybody, and its own/wall matches own/wall"),
        (
            WALL,
            "c",
            "clients/c/x",
            "  because it is for anybody, and its clients/c/# matches clients/c/x",
        ),
        (
            ANONYMOUS,
            None,
            "own/wall",
            (
                "  rule 4 (u.yaml:6) doesn't count, because %u is the user's name, and without a"
                " login there is none"
            ),
        ),
        (
            WALL,
            None,
            "clients/c/x",
            (
                "  rule 4 (u.yaml:6) doesn't count, because %c is the MQTT client id, and none was"
                " given (--client-id)"
            ),
        ),
        (
            WALL,
            "c/d",
            "clients/c/d",
            (
                "  rule 4 (u.yaml:6) doesn't count, because what %u and %c stand for may hold no +,"
                " # and /, and begin with no $"
            ),
        ),
    ],
)
def test_names_are_filled_in_or_it_is_said_why_not(
    user: User, client_id: str | None, topic: str, line: str
) -> None:
    assert line in said(user, topic, client_id)[0]


def test_nobody_publishes_to_a_filter_or_a_dollar_topic() -> None:
    assert said(ADA, "plant/#")[0] == [
        "publish: denied, because a message goes to one topic, and plant/# is a filter"
    ]
    assert said(ADA, "$SYS/x")[0] == [
        "publish: denied, because what begins with $ is the broker's own, whatever the rules say"
    ]


def test_a_shared_subscription_is_judged_by_its_filter() -> None:
    _, subscribe = said(ADA, "$share/pool/plant/x")
    assert subscribe[0] == "subscribe: allowed by rule 2 (u.yaml:4)"
    assert subscribe[-1] == "A shared subscription is judged by its filter, here plant/x."


def test_at_most_five_other_rules_are_named() -> None:
    rules = "".join(f"  - {{user: u{n}, allow: [subscribe], topics: [a]}}\n" for n in range(9))
    policy = parse_users(f"rules:\n{rules}").policy
    lines = [*explained(policy, ADA, "a", where="u.yaml")]
    assert [line[2:8] for line in lines[2:]] == [f"rule {n}" for n in range(1, 6)]


@pytest.mark.parametrize("topic", ["", "a/#/b", "a+", "$share/x", "$share//a", "$share/g/a#"])
def test_what_is_no_topic_filter_is_refused(topic: str) -> None:
    with pytest.raises(TopicError):
        list(explained(POLICY, ADA, topic, where="u.yaml"))
