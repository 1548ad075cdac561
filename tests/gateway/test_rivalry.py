"""Two gateways on one base topic: whatever the order, exactly one goes on."""

import json
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from broker.link import Message
from gateway.device import retained_json
from gateway.rivalry import PATIENCE_TICKS, Rivalry, Verdict

STATE = "fieldgate/bridge/state"
ONLINE = retained_json(STATE, {"state": "online"})


def gateway(instance: str) -> Rivalry:
    return Rivalry("fieldgate", instance)


def exchange(gateways: Iterable[Rivalry], messages: Iterable[Message]) -> None:
    """A broker between them: every message to everybody, and the answers too."""
    everybody = list(gateways)
    waiting = list(messages)
    while waiting:
        message = waiting.pop(0)
        waiting += [answer for one in everybody if (answer := one.receive(message))]


def established(instance: str) -> Rivalry:
    one = gateway(instance)
    exchange([one], [one.question()])
    assert one.verdict is Verdict.ALONE
    return one


def test_a_gateway_that_hears_only_itself_is_alone_at_once() -> None:
    assert established("a").verdict is Verdict.ALONE


def test_a_newcomer_yields_to_the_one_that_is_there() -> None:
    for newcomer_name in ("a", "z"):
        old, newcomer = established("m"), gateway(newcomer_name)
        question = newcomer.question()
        exchange([old, newcomer], [ONLINE, question])
        assert (old.verdict, newcomer.verdict) == (Verdict.ALONE, Verdict.RIVAL)
        assert newcomer.rival == "m"


@given(st.permutations(["a", "m", "z"]), st.sampled_from(["a", "m", "z"]))
def test_newcomers_never_push_out_the_one_that_was_there(order: list[str], old_name: str) -> None:
    """All of them meet a broker that has just come back, so each asks."""
    gateways = [established(name) if name == old_name else gateway(name) for name in order]
    exchange(gateways, [ONLINE, *(one.question() for one in gateways)])
    for _ in range(PATIENCE_TICKS):
        for one in gateways:
            one.tick()
    assert [one.instance for one in gateways if one.verdict is Verdict.ALONE] == [old_name]


@given(st.permutations(["a", "m", "z"]))
def test_it_is_enough_that_the_one_that_yields_hears_the_other(order: list[str]) -> None:
    """One that asks before the other has subscribed is not heard by it."""
    waiting: list[Rivalry] = []
    for name in order:
        one = gateway(name)
        waiting.append(one)
        exchange(waiting, [ONLINE, one.question()])
    for _ in range(PATIENCE_TICKS):
        for one in waiting:
            one.tick()
    assert sum(one.verdict is Verdict.ALONE for one in waiting) == 1


def test_a_question_that_somebody_retained_drives_nobody_away() -> None:
    one = gateway("m")
    own = one.question()
    old = established("a").question()
    exchange([one], [Message(old.topic, old.payload, old.qos, retain=True), own])
    assert one.verdict is Verdict.ALONE


def test_what_a_dead_gateway_left_behind_delays_only() -> None:
    newcomer = gateway("a")
    question = newcomer.question()
    exchange([newcomer], [ONLINE, question])
    seen = [newcomer.verdict]
    for _ in range(PATIENCE_TICKS):
        newcomer.tick()
        seen.append(newcomer.verdict)
    assert seen == [*[Verdict.ASKING] * PATIENCE_TICKS, Verdict.ALONE]


def test_a_broker_that_delivers_no_question_delays_only() -> None:
    one = gateway("a")
    one.question()
    for _ in range(PATIENCE_TICKS):
        one.tick()
    assert one.verdict is Verdict.ALONE


@given(st.permutations(["a", "b", "c"]))
def test_of_those_that_lost_the_broker_together_exactly_one_goes_on(order: list[str]) -> None:
    gateways = [established(name) for name in order]
    exchange(gateways, [one.question() for one in gateways])
    for _ in range(PATIENCE_TICKS):
        for one in gateways:
            one.tick()
    assert [one.instance for one in gateways if one.verdict is Verdict.ALONE] == ["a"]


@given(st.sampled_from(["state", "request/ping", "response/ping"]), st.binary(max_size=64))
def test_nothing_that_others_publish_there_is_a_fault(below: str, payload: bytes) -> None:
    one = gateway("a")
    one.question()
    one.receive(Message(f"fieldgate/bridge/{below}", payload))


def test_odd_json_is_no_answer() -> None:
    one = established("a")
    values: list[object] = [None, 1, [], {"instance": 5}, {"instance": "b"}, {"transaction": "a"}]
    for value in values:
        one.receive(Message("fieldgate/bridge/response/ping", json.dumps(value).encode()))
        one.receive(Message("fieldgate/bridge/request/ping", json.dumps(value).encode()))
    assert one.verdict is Verdict.ALONE
