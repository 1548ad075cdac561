"""Rights that end, with what was granted under them; and bounds on what may be granted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from broker.access import Users, parse_users
from broker.link import QoS
from broker.native.packet import (
    Disconnect,
    Publish,
    Pubrel,
    SubscribeRequest,
    Unsuback,
    Unsubscribe,
    Will,
)
from broker.native.properties import Properties
from broker.native.reason import Reason
from broker.native.router import GRANT_BYTES, LEVEL_BYTES
from broker.password import hash_password
from tests.broker.native.peer import Served, served
from tests.real_ends import until

Q1, Q2 = QoS.AT_LEAST_ONCE, QoS.EXACTLY_ONCE
LASTS = Properties(session_expiry_interval_s=3600)
HASH = hash_password("right")

USERS = f"""
users:
  ann: {{password: "{HASH}", groups: [staff]}}
  bob: {{password: "{HASH}", groups: [staff]}}
rules:
  - {{user: "*", allow: [publish, subscribe], topics: ["open/#"]}}
  - {{group: staff, allow: [publish, subscribe], topics: ["#"]}}
"""
NO_MORE_STAFF = USERS.replace(
    f'ann: {{password: "{HASH}", groups: [staff]}}', f'ann: {{password: "{HASH}"}}'
)
WITHOUT_ANN = "\n".join(line for line in USERS.splitlines() if "ann:" not in line)
ANN: dict[str, Any] = {"username": "ann", "password": b"right"}
BOB: dict[str, Any] = {"username": "bob", "password": b"right"}


@asynccontextmanager
async def changing() -> AsyncIterator[tuple[Served, Users]]:
    """A broker whose users may change."""
    users = Users(parse_users(USERS))
    try:
        async with served(users) as broker:
            users.on_change(broker.core.judge_again)
            yield broker, users
    finally:
        users.close()


async def test_what_waits_for_an_absent_client_is_withdrawn_with_its_right() -> None:
    async with changing() as (broker, users), broker.peer("bob", **BOB) as bob:
        async with broker.peer("ann", properties=LASTS, **ANN) as ann:
            await ann.subscribe("secret/+")
            await ann.subscribe("open/+")
            await ann.leave(Disconnect())
        await bob.publish("secret/a", b"1", Q1)
        await bob.publish("open/a", b"2", Q1)
        users.take_up(parse_users(NO_MORE_STAFF))
        async with broker.peer("ann", clean_start=False, properties=LASTS, **ANN) as ann:
            assert ann.connack.session_present
            assert await ann.payloads() == [b"2"]


async def test_a_right_that_another_subscription_still_has_keeps_its_messages() -> None:
    async with changing() as (broker, users), broker.peer("bob", **BOB) as bob:
        async with broker.peer("ann", properties=LASTS, **ANN) as ann:
            await ann.subscribe("#", "open/a")
            await ann.leave(Disconnect())
        await bob.publish("open/a", b"1", Q1)
        await bob.publish("open/b", b"2", Q1)
        users.take_up(parse_users(NO_MORE_STAFF))
        async with broker.peer("ann", clean_start=False, properties=LASTS, **ANN) as ann:
            assert await ann.payloads() == [b"1"]


@pytest.mark.parametrize("qos", [Q1, Q2])
async def test_what_was_sent_and_not_acknowledged_does_not_come_again_without_the_right(
    qos: QoS,
) -> None:
    async with changing() as (broker, users), broker.peer("bob", **BOB) as bob:
        async with broker.peer("ann", properties=LASTS, **ANN) as ann:
            await ann.subscribe("secret/+", qos=qos)
            await bob.publish("secret/a", b"1", qos)
            assert (await ann.expect(Publish)).payload == b"1"
            await ann.leave(Disconnect())
        users.take_up(parse_users(NO_MORE_STAFF))
        async with broker.peer("ann", clean_start=False, properties=LASTS, **ANN) as ann:
            assert await ann.settled() == []
            assert broker.core.census().waiting == 0


async def test_a_qos_2_message_that_its_receiver_has_is_released_all_the_same() -> None:
    async with changing() as (broker, users), broker.peer("bob", **BOB) as bob:
        async with broker.peer("ann", properties=LASTS, **ANN) as ann:
            await ann.subscribe("secret/+", qos=Q2)
            await bob.publish("secret/a", b"1", Q2)
            message = await ann.expect(Publish)
            await ann.accept(message)
            await ann.leave(Disconnect())
        users.take_up(parse_users(NO_MORE_STAFF))
        async with broker.peer("ann", clean_start=False, properties=LASTS, **ANN) as ann:
            assert (await ann.expect(Pubrel)).packet_id == message.packet_id


async def test_what_waits_behind_the_window_of_a_present_client_is_withdrawn() -> None:
    async with (
        changing() as (broker, users),
        broker.peer("bob", **BOB) as bob,
        broker.peer("ann", properties=Properties(receive_maximum=2), **ANN) as ann,
    ):
        await ann.subscribe("secret/+", "open/+", qos=Q1)
        for number in range(5):
            await bob.publish("secret/a", b"%d" % number, Q1)
        await bob.publish("open/a", b"last", Q1)
        users.take_up(parse_users(NO_MORE_STAFF))
        assert await ann.payloads() == [b"0", b"1", b"last"]


async def test_a_shared_message_that_one_may_not_have_any_more_goes_to_another_who_may() -> None:
    async with changing() as (broker, users):
        async with broker.peer("ann", properties=LASTS, **ANN) as ann:
            await ann.subscribe("$share/g/secret/+", qos=Q1)
            await ann.leave(Disconnect())
        async with broker.peer("bob", **BOB) as bob:
            await bob.publish("secret/a", b"1", Q1)  # nobody else is there to have it
            await bob.subscribe(SubscribeRequest("$share/g/secret/+", Q1))
            users.take_up(parse_users(NO_MORE_STAFF))
            assert await bob.payloads() == [b"1"]


@pytest.mark.parametrize("users_then", [NO_MORE_STAFF, WITHOUT_ANN])
async def test_a_delayed_will_is_not_published_by_one_who_may_no_more(users_then: str) -> None:
    will = Will("secret/will", b"gone", properties=Properties(will_delay_interval_s=1))
    async with changing() as (broker, users), broker.peer("bob", **BOB) as bob:
        await bob.subscribe("#")
        async with broker.peer("ann", properties=LASTS, will=will, **ANN) as ann:
            await ann.leave(Disconnect(Reason.DISCONNECT_WITH_WILL_MESSAGE))
        users.take_up(parse_users(users_then))
        async with broker.peer("other", will=Will("open/will", b"later"), **BOB) as other:
            other.send(Disconnect(Reason.DISCONNECT_WITH_WILL_MESSAGE))
            await other.until_closed()
        broker.core.stop()  # what wills there are come now
        assert [each.topic for each in await bob.until_closed() if isinstance(each, Publish)] == [
            "open/will"
        ]


async def test_a_removed_users_client_is_sent_away_without_its_will() -> None:
    async with (
        changing() as (broker, users),
        broker.peer("bob", **BOB) as bob,
        broker.peer("ann", will=Will("open/will", b"gone"), **ANN) as ann,
    ):
        await bob.subscribe("#")
        users.take_up(parse_users(WITHOUT_ANN))
        assert (await ann.goodbye()).reason is Reason.NOT_AUTHORIZED
        assert await bob.settled() == []


@pytest.mark.parametrize(
    ("bound", "value"), [("MAX_OF_ONE", 3), ("MAX_BYTES", 3 * (GRANT_BYTES + LEVEL_BYTES + 1))]
)
async def test_at_either_bound_new_subscriptions_are_refused_and_old_ones_may_be_replaced(
    monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(f"broker.native.router.{bound}", value)
    async with served() as broker, broker.peer("one") as one:
        answer = await one.subscribe("a", "b", "c", "d", "a", qos=Q1)
        assert answer.reasons == (1, 1, 1, Reason.QUOTA_EXCEEDED, 1)
        assert broker.core.counters.subscriptions_refused == 1
        one.send(Unsubscribe(2, ("b",)))
        await one.expect(Unsuback)
        assert (await one.subscribe("d", qos=Q1)).reasons == (1,)


async def test_of_too_many_absent_sessions_the_one_that_left_first_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("broker.native.core.MAX_ABSENT_SESSIONS", 3)
    async with served() as broker:
        for number in range(5):
            async with broker.peer(f"away{number}", properties=LASTS) as away:
                await away.leave(Disconnect())
        assert broker.core.counters.sessions_forgotten == 2
        present = []
        for number in range(5):
            async with broker.peer(f"away{number}", clean_start=False) as away:
                present.append(away.connack.session_present)
        assert present == [False, False, True, True, True]
        assert broker.core.counters.sessions_expired == 0


async def test_a_session_whose_time_is_over_is_counted() -> None:
    async with served() as broker:
        lasts = Properties(session_expiry_interval_s=1)
        async with broker.peer("away", properties=lasts) as away:
            await away.leave(Disconnect())
        await until(lambda: broker.core.counters.sessions_expired == 1, "its second is over")
        assert broker.core.census().sessions == 0
