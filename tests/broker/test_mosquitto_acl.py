from __future__ import annotations

import asyncio
import random
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import AccessError
from broker.link import QoS
from broker.mosquitto_acl import import_mosquitto
from broker.native.packet import Connack, Connect, Puback, Publish
from broker.policy import Action, Policy, User
from broker.users_file import parse_users
from tests.broker.native.peer import V5, Peer
from tests.real_ends import mosquitto


def rules(text: str) -> list[str]:
    return [str(rule) for rule in import_mosquitto(text, "acl").rules]


def notes(text: str) -> tuple[str, ...]:
    return import_mosquitto(text, "acl").notes


def test_what_is_denied_comes_first_and_patterns_are_for_anybody() -> None:
    assert rules(
        """
# a comment
user roger
topic foo/bar
topic read plant/#
topic   write   a topic with blanks
topic deny foo/secret
user ada
pattern read dev/%c/#
pattern readwrite home/%u

user roger
topic read more
"""
    ) == [
        '{user: roger, deny: [publish, subscribe], topics: ["foo/secret"]}',
        '{user: roger, allow: [publish, subscribe], topics: ["foo/bar"]}',
        '{user: roger, allow: [subscribe], topics: ["plant/#", "more"]}',
        '{user: roger, allow: [publish], topics: ["a topic with blanks"]}',
        '{user: "*", allow: [publish, subscribe], topics: ["home/%u"]}',
        '{user: "*", allow: [subscribe], topics: ["dev/%c/#"]}',
    ]


def test_users_with_a_section_get_nothing_of_those_without_a_login() -> None:
    text = "topic read open/#\nuser ada\ntopic read a\npattern read p/%u\n"
    assert rules(text) == [
        '{user: ada, allow: [subscribe], topics: ["a"]}',
        '{user: ada, allow: [subscribe], topics: ["p/%u"]}',
        '{user: ada, deny: [publish, subscribe], topics: ["open/#"]}',
        '{user: "*", allow: [subscribe], topics: ["open/#"]}',
        '{user: "*", allow: [subscribe], topics: ["p/%u"]}',
    ]
    imported = import_mosquitto(text, "acl")
    assert imported.users == ("ada",)
    assert imported.notes == (
        (
            "line 1: for those without a login alone in Mosquitto; here also for users without a"
            " section"
        ),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "user *\ntopic a\n",
            ['line 1: left out with its topics: here "*" is anybody'],
        ),
        (
            "user u\ntopic write x/%u\n",
            ["line 2: left out, since %u and %c stand for names here"],
        ),
        (
            "user u\ntopic deny x/%u/y\n",
            ["line 2: denies x/+/y here, where %u and %c are names"],
        ),
        (
            "pattern write $SYS/broker/connection/%c/state\n",
            ["line 1: nothing can be published to $SYS/broker/connection/%c/state here"],
        ),
        (
            "pattern read a/%c/#\npattern deny a/%c/x\n",
            [
                "line 2: denies nothing here to a client whose name or id holds /, + or #",
                (
                    "line 2: since a/%c/x is denied, a subscription to a/%c/# (line 1) is refused"
                    " here; Mosquitto holds back that part alone"
                ),
            ],
        ),
        (
            "user u\ntopic a/#\ntopic read +/x\ntopic deny a/x\ntopic write a/x\n",
            [
                (
                    "line 4: since a/x is denied, a subscription to a/# (line 2) or +/x (line 3) is"
                    " refused here; Mosquitto holds back that part alone"
                )
            ],
        ),
        ("user u\ntopic a\ntopic deny a/#\n", []),
    ],
)
def test_what_is_not_the_same_is_said_with_its_line(text: str, said: list[str]) -> None:
    assert list(notes(text)) == said


def test_what_is_left_out_makes_no_rule() -> None:
    assert rules("user *\ntopic a\nuser u\ntopic read %c\ntopic write $x\n") == []
    assert rules("user u\ntopic $SYS/#\n") == ['{user: u, allow: [subscribe], topics: ["$SYS/#"]}']


def test_each_faulty_line_is_named() -> None:
    with pytest.raises(AccessError) as caught:
        import_mosquitto("topic\ta\nuser\ntopic\ntopic rw a\ntopic a/#/b\nfoo\n", "acl")
    assert str(caught.value).split("\n") == [
        "acl:1: topic\ta is none of user, topic and pattern",
        "acl:2: user needs a name",
        "acl:3: there is no topic",
        "acl:4: rw is none of read, write, readwrite, deny",
        "acl:5: topic filter 'a/#/b': # must be the whole last level, as in a/#",
        "acl:6: foo is none of user, topic and pattern",
    ]


words = st.sampled_from(
    ["user", "topic", "pattern", "read", "deny", "a", "a/#", "%u", "#", "*", " ", "\n", "\t", "$S"]
)


@given(st.lists(words).map("".join) | st.text())
def test_any_text_is_rules_that_the_users_file_takes_or_an_access_error(text: str) -> None:
    try:
        found = import_mosquitto(text, "acl").rules
    except AccessError:
        return
    assert parse_users(f"rules: [{', '.join(map(str, found))}]").policy.rules == found


# --- against the real one

LEVELS = ("a", "b")
NAMES = ["/".join(levels) for n in (1, 2, 3) for levels in product(LEVELS, repeat=n)]
FILTERS = [
    f
    for n in (1, 2, 3)
    for levels in product((*LEVELS, "+", "#"), repeat=n)
    if "#" not in levels[:-1] and (f := "/".join(levels))
]
PATTERNS = ["own/%u", "own/%c", "+/%u/x", "own/%u/#", "$SYS/#", "a/+", "b/#"]
USERS = [f"u{number}" for number in range(20)]
OWN = [f"own/{user}{rest}" for user in USERS[:3] for rest in ("", "/x")]
TOPICS = [*NAMES, *OWN, "own/c-u1", "$SYS/broker/version"]


def random_acl(seed: int, *, anonymous: bool) -> str:
    chance = random.Random(seed)

    def lines(keyword: str, filters: list[str], count: int) -> list[str]:
        access = ["", "read ", "write ", "readwrite ", "deny "]
        return [
            f"{keyword} {chance.choice(access)}{chance.choice(filters)}"
            for _ in range(chance.randint(0, count))
        ]

    text = lines("topic", [*FILTERS, "$SYS/#"], 4) if anonymous else []
    for user in USERS:
        text += [f"user {user}", *lines("topic", [*FILTERS, "$SYS/broker/+"], 5)]
    text += lines("pattern", PATTERNS, 5)
    text += ["user root", "topic readwrite #"]
    return "\n".join(text) + "\n"


async def arrive(port: int, user: str | None) -> Peer:
    peer = Peer(*await asyncio.open_connection("127.0.0.1", port), V5)
    peer.send(Connect(V5, f"c-{user}", username=user))
    assert not (await peer.expect(Connack)).reason
    return peer


async def verdicts(port: int, user: str | None) -> tuple[set[str], set[str]]:
    """The topics that a user may publish to, and see, by the real broker."""
    peer = await arrive(port, user)
    written = set()
    for topic in TOPICS:
        if not topic.startswith("$"):
            peer.send(Publish(topic, b"x", QoS.AT_LEAST_ONCE, packet_id=1))
            if not (await peer.expect(Puback)).reason.is_failure:
                written.add(topic)
    await peer.subscribe(*TOPICS, qos=QoS.AT_MOST_ONCE)
    seen = {packet.topic for packet in await peer.settled() if isinstance(packet, Publish)}
    peer.vanish()
    return written, seen


def ours(policy: Policy, user: str | None, action: Action) -> set[str]:
    return {
        topic
        for topic in TOPICS
        if policy.may(User(user), action, topic, client_id=f"c-{user}")
        and not (topic.startswith("$") and action is Action.PUBLISH)
    }


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("anonymous", [True, False])
async def test_everybody_may_what_the_real_mosquitto_lets_them(
    seed: int, anonymous: bool, tmp_path: Path
) -> None:
    text = random_acl(seed, anonymous=anonymous)
    (tmp_path / "acl").write_text(text)
    policy = Policy(import_mosquitto(text, "acl").rules)
    own_files = "user root"  # it reads its files as somebody else, where root starts it
    with mosquitto(tmp_path, f"acl_file {tmp_path / 'acl'}", own_files) as broker:
        root = await arrive(broker.port, "root")
        for topic in TOPICS:
            if not topic.startswith("$"):
                await root.publish(topic, b"kept", QoS.AT_LEAST_ONCE, retain=True)
        root.vanish()
        for user in [*USERS, None, *([] if anonymous else ["unknown"])]:
            written, seen = await verdicts(broker.port, user)
            assert (user, ours(policy, user, Action.PUBLISH)) == (user, written), text
            assert (user, ours(policy, user, Action.SUBSCRIBE)) == (user, seen), text
