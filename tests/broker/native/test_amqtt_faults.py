"""What amqtt does wrong (tests/broker/test_amqtt_faults.py), and this engine right."""

from __future__ import annotations

from typing import Any

import pytest

from broker.link import QoS
from broker.native.packet import Connack, Connect, Disconnect, Puback, Publish, Version, Will
from broker.native.properties import Properties
from broker.native.reason import Reason
from broker.password import hash_password
from tests.broker.native.peer import EVERY_VERSION, V5, V31, V311, served

Q0, Q1, Q2 = QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE, QoS.EXACTLY_ONCE

USERS = f"""
users:
  ann: {{password: "{hash_password("right")}"}}
  bob: {{password: "{hash_password("also right")}"}}
rules:
  - {{user: "*", deny: [publish], topics: ["secret"]}}
  - {{user: "*", deny: [subscribe], topics: ["hidden/#"]}}
  - {{user: "*", allow: [publish, subscribe], topics: ["a/#", "hidden/#"]}}
"""


@pytest.mark.parametrize("keep_alive_s", [0, 60])
async def test_no_acknowledged_message_is_lost_when_the_publisher_leaves(keep_alive_s: int) -> None:
    async with served(USERS) as broker, broker.peer("watcher") as watcher:
        await watcher.subscribe("a/x")
        async with broker.peer("publisher", V311, keep_alive_s=keep_alive_s) as publisher:
            publisher.send(*(Publish("a/x", b"%d" % n, Q1, packet_id=n) for n in range(1, 201)))
            acks = [await publisher.expect(Puback) for _ in range(200)]
            assert [ack.packet_id for ack in acks] == list(range(1, 201))
            publisher.vanish()
        assert await watcher.payloads() == [b"%d" % n for n in range(1, 201)]


async def test_no_message_is_lost_while_others_subscribe() -> None:
    async with (
        served(USERS) as broker,
        broker.peer("watcher") as watcher,
        broker.peer("publisher") as publisher,
        broker.peer("other") as other,
    ):
        await watcher.subscribe("a/x")
        for number in range(200):
            publisher.send(Publish("a/x", b"%d" % number))
            await other.subscribe(f"a/{number}")
        await publisher.settled()
        assert await watcher.payloads() == [b"%d" % number for number in range(200)]


async def test_a_newcomer_gets_its_own_retained_messages_only() -> None:
    async with served() as broker, broker.peer("one") as one, broker.peer("two") as two:
        await one.publish("a", b"1", retain=True)
        await one.publish("b", b"2", retain=True)
        await one.subscribe("a")
        await two.subscribe("b")
        assert await one.payloads() == [b"1"]
        assert await two.payloads() == [b"2"]


@pytest.mark.parametrize("version", EVERY_VERSION)
async def test_a_will_obeys_the_rules(version: Version) -> None:
    async with served(USERS) as broker, broker.opened(version) as peer:
        peer.send(Connect(version, "one", will=Will("secret", b"x")))
        (connack,) = await peer.until_closed()
        assert connack == Connack(
            False,
            Reason.NOT_AUTHORIZED,
            connack.properties if isinstance(connack, Connack) else Properties(),
        )


async def test_a_retained_message_obeys_the_rules() -> None:
    async with served(USERS) as broker, broker.peer("one") as one:
        await one.publish("hidden/x", b"1", retain=True)
        suback = await one.subscribe("hidden/#", "hidden/x", "#")
        assert set(suback.reasons) == {Reason.NOT_AUTHORIZED}
        assert await one.messages() == []
        await one.publish("secret", b"1", retain=True)
        assert list(broker.core.retained.topics("#")) == ["hidden/x"]


NOBODY: dict[str, Any] = {}
LASTING: dict[str, Any] = {
    "username": "ann",
    "password": b"right",
    "clean_start": False,
    "properties": Properties(session_expiry_interval_s=3600),
}


async def test_a_wrong_password_touches_nobodys_session() -> None:
    async with served(USERS) as broker, broker.peer("ann's", **LASTING) as ann:
        await ann.subscribe("a/#")
        for clean_start in (True, False):
            async with broker.opened() as thief:
                will = Will("a/will", b"x")
                thief.send(
                    Connect(V5, "ann's", clean_start, username="ann", password=b"wrong", will=will)
                )
                (connack,) = await thief.until_closed()
                assert isinstance(connack, Connack)
                assert connack.reason is Reason.BAD_USER_NAME_OR_PASSWORD
            async with broker.opened() as thief:
                thief.send(Connect(V5, "ann's", clean_start, username="nobody", password=b""))
                assert len(await thief.until_closed()) == 1
        ann.publish_and_go_on("a/x")
        assert await ann.payloads() == [b"own"]
        await ann.leave()
        async with broker.peer("ann's", **LASTING) as ann:
            assert ann.connack.session_present


async def test_nobody_else_takes_the_place_of_a_users_client() -> None:
    bob: dict[str, Any] = {"username": "bob", "password": b"also right"}
    async with served(USERS) as broker:
        async with broker.peer("ann's", **LASTING) as ann:
            await ann.subscribe("a/#")
            for login in (NOBODY, bob):
                async with broker.opened() as other:
                    other.send(Connect(V5, "ann's", **login))
                    (connack,) = await other.until_closed()
                    assert isinstance(connack, Connack)
                    assert connack.reason is Reason.CLIENT_IDENTIFIER_NOT_VALID
            await ann.leave()
        async with broker.opened() as other:
            other.send(Connect(V5, "ann's"))
            assert len(await other.until_closed()) == 1, "anonymous, and the session is ann's"
        async with broker.peer("ann's", **LASTING) as ann:
            assert ann.connack.session_present
            await ann.leave()
        async with broker.peer("ann's", clean_start=False, **bob) as other:
            assert not other.connack.session_present
            assert await other.messages() == []


async def test_one_publish_to_a_dollar_topic_mutes_nobody() -> None:
    async with served() as broker, broker.peer("one", V311) as one:
        await one.subscribe("#")
        await one.publish("$SYS/x", b"1", Q1)
        one.publish_and_go_on("a")
        assert await one.payloads() == [b"own"]


async def test_qos_0_stays_qos_0_at_a_qos_1_subscriber() -> None:
    async with served() as broker, broker.peer("one") as one, broker.peer("two") as two:
        await one.subscribe("a", qos=Q1)
        await two.publish("a", b"1", Q0)
        assert [m.qos for m in await one.messages()] == [Q0]


async def test_the_versions_that_amqtt_refuses_are_served_beside_each_other() -> None:
    async with (
        served() as broker,
        broker.peer("31", V31) as oldest,
        broker.peer("311", V311) as old,
        broker.peer("5", V5) as new,
    ):
        for peer in (oldest, old, new):
            await peer.subscribe("a")
        async with broker.peer("publisher") as publisher:
            await publisher.publish("a", b"1", Q2)
        for peer in (oldest, old, new):
            assert await peer.payloads() == [b"1"]


async def test_it_stops_at_once_with_connections_open() -> None:
    async with (
        served() as broker,
        broker.peer("5") as new,
        broker.peer("311", V311) as old,
        broker.opened(),
    ):
        broker.core.stop()
        assert (await new.until_closed())[-1] == Disconnect(Reason.SERVER_SHUTTING_DOWN)
        assert await old.until_closed() == []
