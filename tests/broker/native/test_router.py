from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.link import QoS
from broker.native.router import Grant, Router, Routes
from broker.topics import matches

FILTERS = ["#", "+", "a", "a/b", "a/+", "a/#", "+/b", "$SYS/#"]
TOPICS = ["a", "a/b", "b", "a/b/c", "$SYS/x"]
NAMES = ["one", "two", "three"]


@dataclass(eq=False)
class Receiver:
    name: str
    is_present: bool = True
    got: list[str] = field(default_factory=list)


grants = st.builds(
    Grant,
    topic_filter=st.sampled_from(FILTERS),
    qos=st.sampled_from(QoS),
    no_local=st.booleans(),
    share=st.sampled_from([None, None, "g", "h"]),
)
operations = st.lists(
    st.tuples(st.sampled_from(["add", "end", "forget", "ask"]), st.sampled_from(NAMES), grants)
)


@given(operations)
def test_whatever_changes_exactly_those_who_match_are_found(
    steps: list[tuple[str, str, Grant]],
) -> None:
    router: Router[Receiver] = Router()
    receivers = {name: Receiver(name) for name in NAMES}
    model: dict[tuple[str, str | None, str], Grant] = {}
    for verb, name, grant in steps:
        key = (name, grant.share, grant.topic_filter)
        if verb == "add":
            assert router.subscribe(receivers[name], grant) is (key not in model)
            model[key] = grant
        elif verb == "end":
            found = router.unsubscribe(receivers[name], grant.topic_filter, grant.share)
            assert found is (model.pop(key, None) is not None)
        elif verb == "forget":
            router.forget(receivers[name])
            model = {key: value for key, value in model.items() if key[0] != name}
        assert router.count == len(model)
        assert (router.bytes == 0) is (not model)
        for topic in TOPICS:
            routes = router.routes(topic)
            wanted: dict[str, QoS] = {}
            groups = set()
            for (who, share, topic_filter), each in model.items():
                if matches(topic_filter, topic):
                    if share is None:
                        wanted[who] = max(wanted.get(who, each.qos), each.qos)
                    else:
                        groups.add((share, topic_filter))
            assert {route.receiver.name: route.qos for route in routes.all} == wanted
            assert len(routes.groups) == len(groups)


def test_members_of_a_group_take_turns_and_those_who_are_away_are_passed_over() -> None:
    router: Router[Receiver] = Router()
    members = [Receiver(name) for name in NAMES]
    for member in members:
        router.subscribe(member, Grant("a", QoS.AT_LEAST_ONCE, share="g"))
    (group,) = router.routes("a").groups

    def chosen() -> str:
        route = group.choose()
        assert route is not None
        assert route.share == ("g", "a")
        return route.receiver.name

    assert [chosen() for _ in range(4)] == ["one", "two", "three", "one"]
    members[1].is_present = False
    assert [chosen() for _ in range(4)] == ["three", "one", "three", "one"]
    for member in members:
        member.is_present = False
    assert sorted(chosen() for _ in range(3)) == sorted(NAMES)
    for member in members:
        router.forget(member)
    assert group.choose() is None
    assert router.member_of(("g", "a")) is None


def test_what_a_receiver_published_itself_counts_only_the_subscriptions_that_let_it() -> None:
    router: Router[Receiver] = Router()
    one = Receiver("one")
    router.subscribe(one, Grant("a/#", QoS.EXACTLY_ONCE, no_local=True, identifier=1))
    (route,) = router.routes("a/b").all
    assert (route.no_local, route.own) == (True, None)
    router.subscribe(one, Grant("a/b", QoS.AT_MOST_ONCE, identifier=2))
    (route,) = router.routes("a/b").all
    assert (route.qos, sorted(route.identifiers)) == (QoS.EXACTLY_ONCE, [1, 2])
    assert route.own is not None
    assert (route.own.qos, route.own.identifiers) == (QoS.AT_MOST_ONCE, (2,))


def test_no_subscription_costs_more_memory_than_it_is_counted_with() -> None:
    for levels in (1, 16, 128):
        router: Router[Receiver] = Router()
        receivers = [Receiver(str(number)) for number in range(200)]
        tracemalloc.start()
        try:
            for number in range(2000):
                topic_filter = f"{number}" + "/x" * (levels - 1)
                router.subscribe(receivers[number % 200], Grant(topic_filter, QoS.AT_LEAST_ONCE))
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert used < 1.1 * router.bytes


def test_what_is_remembered_of_topics_is_bounded_by_their_receivers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("broker.native.router.MAX_CACHED_ROUTES", 10_000)
    router: Router[Receiver] = Router()
    for number in range(1000):
        router.subscribe(Receiver(str(number)), Grant("#", QoS.AT_LEAST_ONCE))
    for number in range(300):  # so that no two topics go to the same
        router.subscribe(Receiver("one"), Grant(f"topic/{number}", QoS.AT_LEAST_ONCE))
    tracemalloc.start()
    try:
        for number in range(300):
            assert len(router.routes(f"topic/{number}").all) == 1001
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 10_000 * 300


def test_topics_that_the_same_filters_match_have_the_same_routes() -> None:
    router: Router[Receiver] = Router()
    router.subscribe(Receiver("one"), Grant("a/#", QoS.AT_LEAST_ONCE))
    router.subscribe(Receiver("two"), Grant("+/b", QoS.AT_LEAST_ONCE))
    assert router.routes("a/x") is router.routes("a/y")
    assert router.routes("a/x") is not router.routes("a/b")
    assert router.routes("x") is router.routes("y")


def test_what_others_remember_is_forgotten_when_a_subscription_changes() -> None:
    router: Router[Receiver] = Router()
    one = Receiver("one")
    known: dict[bytes, Routes[Receiver]] = {}

    def remember() -> None:
        router.remember("a", known)
        router.remember("é", known)
        assert known == {b"a": router.routes("a"), "é".encode(): router.routes("é")}

    remember()
    for _ in range(2):  # the second one in place of the first
        router.subscribe(one, Grant("a", QoS.AT_LEAST_ONCE))
        assert known == {}
        remember()
    assert router.unsubscribe(one, "a")
    assert known == {}


def test_where_one_of_several_is_chosen_nothing_is_remembered() -> None:
    router: Router[Receiver] = Router()
    router.subscribe(Receiver("one"), Grant("a", QoS.AT_LEAST_ONCE, share="g"))
    known: dict[bytes, Routes[Receiver]] = {}
    router.remember("a", known)
    assert known == {}


def test_what_others_remember_is_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.native.router.MAX_REMEMBERED", 6)
    router: Router[Receiver] = Router()
    caches: list[dict[bytes, Routes[Receiver]]] = [{} for _ in range(4)]
    for known in caches:
        router.remember("a", known)
        router.remember("b", known)
    assert [len(known) for known in caches] == [0, 0, 0, 2]


def test_what_a_topic_costs_does_not_depend_on_the_filters_that_do_not_match_it() -> None:
    router: Router[Receiver] = Router()
    router.subscribe(Receiver("one"), Grant("a/+/c/#", QoS.AT_LEAST_ONCE))
    other = Receiver("other")
    for pattern in ("{}", "a/{}", "a/b/{}", "+/{}", "+/+/{}/#", "a/b/c/d/{}", "{}/#"):
        router.subscribe(other, Grant(pattern.format("none"), QoS.AT_LEAST_ONCE))
    before = calls(lambda: router.routes("a/b/c/d"))
    for number in range(1000):
        for pattern in ("{}", "a/{}", "a/b/{}", "+/{}", "+/+/{}/#", "a/b/c/d/{}", "{}/#"):
            router.subscribe(other, Grant(pattern.format(number), QoS.AT_LEAST_ONCE))
    assert router.count == 7008
    assert calls(lambda: router.routes("a/b/c/d")) == before
    assert calls(lambda: router.routes("a/b/c/d")) < 5, "it is remembered"


def calls(work: Callable[[], object]) -> int:
    """How many calls are made for some work, of Python's own functions, too."""
    count = 0

    def called(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count
