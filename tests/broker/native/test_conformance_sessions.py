"""CONNECT, sessions, wills, keep-alive and the end, by the clauses of MQTT 3.1.1 and 5."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from broker.link import QoS
from broker.native.packet import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Version,
    Will,
)
from broker.native.properties import Properties
from broker.native.reason import Reason
from tests.broker.native.peer import EVERY_VERSION, V5, V31, V311, Peer, served
from tests.real_ends import until

Q0, Q1, Q2 = QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE, QoS.EXACTLY_ONCE
LASTS = Properties(session_expiry_interval_s=3600)
every_version = pytest.mark.parametrize("version", EVERY_VERSION)


@every_version
async def test_3_1_0_1_a_first_packet_that_is_no_connect_ends_the_connection(
    version: Version,
) -> None:
    async with served() as broker, broker.opened(version) as peer:
        peer.send(Pingreq())
        assert await peer.until_closed() == []


@every_version
async def test_3_1_0_2_a_second_connect_ends_the_connection(version: Version) -> None:
    async with served() as broker, broker.peer("one", version) as peer:
        peer.send(Connect(version, "one"))
        packets = await peer.until_closed()
        if version is V5:
            assert isinstance(packets[0], Disconnect)
            assert packets[0].reason is Reason.PROTOCOL_ERROR
        else:
            assert packets == []


async def test_3_1_2_2_an_unknown_protocol_level_is_answered_by_return_code_1() -> None:
    async with served() as broker, broker.opened(V311) as peer:
        peer.send(b"\x10\x0f\x00\x04MQTT\x06\x02\x00\x3c\x00\x03one")
        assert await peer.until_closed() == [Connack(False, Reason.UNSUPPORTED_PROTOCOL_VERSION)]


async def test_3_1_4_1_before_mqtt_5_a_malformed_connect_is_closed_without_a_connack() -> None:
    async with served() as broker:
        async with broker.opened(V311) as peer:
            peer.send(b"\x10\x0f\x00\x04MQTT\x04\x03\x00\x3c\x00\x03one")  # the reserved flag
            assert await peer.until_closed() == []
        async with broker.opened(V5) as peer:
            peer.send(b"\x10\x10\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x03one")
            (connack,) = await peer.until_closed()
            assert isinstance(connack, Connack)
            assert connack.reason is Reason.MALFORMED_PACKET


async def test_3_1_3_8_an_empty_client_id_needs_a_clean_session_in_3_1_1() -> None:
    async with served() as broker:
        async with broker.opened(V311) as peer:
            peer.send(Connect(V311, "", clean_start=False))
            assert await peer.until_closed() == [Connack(False, Reason.CLIENT_IDENTIFIER_NOT_VALID)]
        async with broker.peer("", V311) as one, broker.peer("", V311) as two:
            assert await one.settled() == await two.settled() == []


async def test_3_2_2_16_mqtt_5_hears_the_client_id_that_it_was_given() -> None:
    async with served() as broker, broker.peer("") as one, broker.peer("") as two:
        ids = {peer.connack.properties.assigned_client_identifier for peer in (one, two)}
        assert len(ids) == 2
        assert None not in ids


async def test_4_12_0_1_an_authentication_method_is_refused() -> None:
    async with served() as broker, broker.opened() as peer:
        peer.send(Connect(V5, "one", properties=Properties(authentication_method="SCRAM-SHA-1")))
        (connack,) = await peer.until_closed()
        assert isinstance(connack, Connack)
        assert connack.reason is Reason.BAD_AUTHENTICATION_METHOD


async def test_4_12_0_6_an_auth_packet_that_nobody_asked_for_is_a_protocol_error() -> None:
    async with served() as broker, broker.peer() as peer:
        peer.send(Auth(Reason.RE_AUTHENTICATE, Properties(authentication_method="x")))
        assert (await peer.goodbye()).reason is Reason.PROTOCOL_ERROR


@every_version
async def test_3_1_4_3_a_taken_over_client_is_sent_away_and_the_session_goes_on(
    version: Version,
) -> None:
    lasts = LASTS if version is V5 else Properties()
    async with (
        served() as broker,
        broker.peer("publisher") as publisher,
        broker.peer("one", version, clean_start=False, properties=lasts) as old,
    ):
        await old.subscribe("a")
        for payload in (b"1", b"2"):
            await publisher.publish("a", payload, Q2)
        async with broker.peer("one", version, clean_start=False, properties=lasts) as new:
            assert new.connack.session_present is (version is not V31)
            gone = await old.until_closed()
            if version is V5:
                assert gone[-1] == Disconnect(Reason.SESSION_TAKEN_OVER)
            await publisher.publish("a", b"3", Q2)
            assert await new.payloads() == [b"1", b"2", b"3"]
            await publisher.publish("a", b"4", Q0)
            assert await new.payloads() == [b"4"]


@every_version
async def test_3_1_2_4_a_clean_start_forgets_the_session(version: Version) -> None:
    lasts = LASTS if version is V5 else Properties()
    async with served() as broker, broker.peer("publisher") as publisher:
        async with broker.peer("one", version, clean_start=False, properties=lasts) as peer:
            await peer.subscribe("a")
            await peer.leave()
        await publisher.publish("a", b"1", Q1)
        async with broker.peer("one", version, clean_start=True) as peer:
            assert not peer.connack.session_present
            assert await peer.messages() == []
            await publisher.publish("a", b"2", Q1)
            assert await peer.messages() == []


@every_version
async def test_3_1_2_5_an_absent_client_gets_what_came_meanwhile_in_its_order(
    version: Version,
) -> None:
    lasts = LASTS if version is V5 else Properties()
    async with served() as broker, broker.peer("publisher") as publisher:
        async with broker.peer("one", version, clean_start=False, properties=lasts) as peer:
            await peer.subscribe("a", qos=Q2)
            await peer.leave()
        sent = [b"%d" % number for number in range(150)]  # more than a window
        for number, payload in enumerate(sent):
            await publisher.publish("a", payload, (Q1, Q2)[number % 2])
        await publisher.publish("a", b"not kept", Q0)
        async with broker.peer("one", version, clean_start=False, properties=lasts) as peer:
            assert await peer.payloads() == sent


async def test_3_1_2_11_2_a_session_ends_when_its_expiry_is_over() -> None:
    async with served() as broker:
        fields: dict[str, Any] = {
            "clean_start": False,
            "properties": Properties(session_expiry_interval_s=1),
        }
        async with broker.peer("one", **fields) as peer:
            await peer.leave()
        async with broker.peer("one", **fields) as peer:
            assert peer.connack.session_present
            await peer.leave()
        await asyncio.sleep(1.2)
        async with broker.peer("one", **fields) as peer:
            assert not peer.connack.session_present


async def test_3_1_2_11_2_without_an_expiry_a_session_ends_with_its_connection() -> None:
    async with served() as broker:
        for _ in range(2):
            async with broker.peer("one", clean_start=False) as peer:
                assert not peer.connack.session_present
                await peer.subscribe("a")
                peer.vanish()
            await broker.gone()


async def test_3_14_2_2_2_a_disconnect_may_change_the_expiry_but_not_from_nothing() -> None:
    async with served() as broker:
        async with broker.peer("one", properties=LASTS) as peer:
            await peer.leave(Disconnect(properties=Properties(session_expiry_interval_s=0)))
        async with broker.peer("one", clean_start=False) as peer:
            assert not peer.connack.session_present
            peer.send(Disconnect(properties=LASTS))
            assert (await peer.goodbye()).reason is Reason.PROTOCOL_ERROR


@every_version
async def test_4_4_0_1_what_was_not_acknowledged_comes_again_with_dup(version: Version) -> None:
    fields: dict[str, Any] = {
        "clean_start": False,
        "properties": LASTS if version is V5 else Properties(),
    }
    async with served() as broker, broker.peer("publisher") as publisher:
        async with broker.peer("one", version, **fields) as peer:
            await peer.subscribe("a")
            await publisher.publish("a", b"1", Q1)
            await publisher.publish("a", b"2", Q2)
            first = [await peer.expect(Publish) for _ in range(2)]
            assert [message.dup for message in first] == [False, False]
            peer.vanish()
        async with broker.peer("one", version, **fields) as peer:
            again = [await peer.expect(Publish) for _ in range(2)]
            assert [message.dup for message in again] == [True, True]
            assert [m.packet_id for m in again] == [m.packet_id for m in first]
            peer.send(Puback(again[0].packet_id), Pubrec(again[1].packet_id))
            assert await peer.expect(Pubrel) == Pubrel(again[1].packet_id)
            peer.vanish()
        async with broker.peer("one", version, **fields) as peer:
            assert await peer.settled() == [Pubrel(again[1].packet_id)]
            peer.send(Pubcomp(again[1].packet_id))
            peer.vanish()
        async with broker.peer("one", version, **fields) as peer:
            assert await peer.settled() == []


@every_version
async def test_4_3_3_2_a_qos_2_message_sent_again_after_a_reconnect_is_routed_once(
    version: Version,
) -> None:
    fields: dict[str, Any] = {
        "clean_start": False,
        "properties": LASTS if version is V5 else Properties(),
    }
    message = Publish("a", b"1", Q2, packet_id=7)
    async with served() as broker, broker.peer("watcher") as watcher:
        await watcher.subscribe("a")
        async with broker.peer("one", version, **fields) as peer:
            peer.send(message)
            await peer.expect(Pubrec)
            peer.vanish()
        async with broker.peer("one", version, **fields) as peer:
            peer.send(Publish("a", b"1", Q2, dup=True, packet_id=7))
            await peer.expect(Pubrec)
            peer.send(Pubrel(7))
            await peer.expect(Pubcomp)
            assert await watcher.payloads() == [b"1"]
            peer.send(message)  # the number is free again
            await peer.expect(Pubrec)
            assert await watcher.payloads() == [b"1"]


async def test_4_9_0_2_no_more_is_sent_again_than_the_client_takes_now() -> None:
    async with served() as broker, broker.peer("publisher") as publisher:
        async with broker.peer("one", properties=LASTS) as peer:
            await peer.subscribe("a", qos=Q1)
            for number in range(10):
                await publisher.publish("a", b"%d" % number, Q1)
            assert len(await peer.settled()) == 10
            peer.vanish()
        narrow = Properties(session_expiry_interval_s=3600, receive_maximum=3)
        async with broker.peer("one", clean_start=False, properties=narrow) as peer:
            packets = await peer.settled()
            assert [p.payload for p in packets if isinstance(p, Publish)] == [b"0", b"1", b"2"]
            for packet in packets:
                assert isinstance(packet, Publish)
                peer.send(Puback(packet.packet_id))
            assert await peer.payloads() == [b"%d" % number for number in range(3, 10)]


# --- wills


@every_version
@pytest.mark.parametrize("qos", QoS)
async def test_3_1_2_8_a_will_is_published_when_its_client_vanishes(
    version: Version, qos: QoS
) -> None:
    async with served() as broker, broker.peer("watcher") as watcher:
        await watcher.subscribe("will", qos=qos)
        will = Will("will", b"gone", qos, retain=True)
        async with broker.peer("one", version, will=will) as peer:
            peer.vanish()
        while not (messages := await watcher.messages()):
            pass
        assert [(m.payload, m.qos, m.retain) for m in messages] == [(b"gone", qos, False)]
        await watcher.subscribe("will")
        assert [m.retain for m in await watcher.messages()] == [True]


@every_version
async def test_3_14_4_3_a_disconnect_takes_the_will_away(version: Version) -> None:
    async with served() as broker, broker.peer("watcher") as watcher:
        await watcher.subscribe("will")
        async with broker.peer("one", version, will=Will("will", b"gone")) as peer:
            await peer.leave()
        assert await watcher.messages() == []


@pytest.mark.parametrize("reason", [Reason.DISCONNECT_WITH_WILL_MESSAGE, Reason.UNSPECIFIED_ERROR])
async def test_3_14_4_3_a_disconnect_with_another_reason_leaves_the_will(reason: Reason) -> None:
    async with served() as broker, broker.peer("watcher") as watcher:
        await watcher.subscribe("will")
        async with broker.peer("one", will=Will("will", b"gone")) as peer:
            await peer.leave(Disconnect(reason))
        assert await watcher.payloads() == [b"gone"]


async def test_3_1_3_2_2_a_delayed_will_waits_and_is_dropped_if_the_client_is_back() -> None:
    will = Will("will", b"gone", properties=Properties(will_delay_interval_s=1))
    async with served() as broker, broker.peer("watcher") as watcher:
        await watcher.subscribe("will")
        async with broker.peer("one", properties=LASTS, will=will) as peer:
            peer.vanish()
        async with broker.peer("one", clean_start=False, properties=LASTS, will=will) as peer:
            await asyncio.sleep(1.2)
            assert await watcher.messages() == []
            peer.vanish()
        await asyncio.sleep(0.2)
        assert await watcher.messages() == []
        await asyncio.sleep(1)
        assert await watcher.payloads() == [b"gone"]


async def test_3_1_3_2_2_a_delayed_will_comes_when_the_session_ends_before() -> None:
    will = Will("will", b"gone", properties=Properties(will_delay_interval_s=3600))
    async with served() as broker, broker.peer("watcher") as watcher:
        await watcher.subscribe("will")
        async with broker.peer("one", will=will) as peer:  # a session without an expiry
            peer.vanish()
        await broker_forgets(watcher, b"gone")
        async with broker.peer("one", properties=LASTS, will=will) as peer:
            await peer.leave(Disconnect(Reason.DISCONNECT_WITH_WILL_MESSAGE))
        assert await watcher.messages() == []
        async with broker.peer("one", clean_start=True):
            assert await watcher.payloads() == [b"gone"]


async def broker_forgets(watcher: Peer, payload: bytes) -> None:
    while not (found := await watcher.payloads()):
        pass
    assert found == [payload]


async def test_3_1_4_3_a_take_over_publishes_the_will_unless_the_session_goes_on_in_time() -> None:
    soon = Will("will", b"at once")
    late = Will("will", b"late", properties=Properties(will_delay_interval_s=3600))
    async with served() as broker, broker.peer("watcher") as watcher:
        await watcher.subscribe("will")
        async with (
            broker.peer("one", properties=LASTS, will=soon),
            broker.peer("one", clean_start=False, properties=LASTS, will=late),
        ):
            assert await watcher.payloads() == [b"at once"]
            async with broker.peer("one", clean_start=False, properties=LASTS, will=late):
                assert await watcher.payloads() == []
                async with broker.peer("one", clean_start=True):
                    assert await watcher.payloads() == [b"late"]


async def test_a_protocol_error_publishes_the_will_at_once() -> None:
    async with served() as broker, broker.peer("watcher") as watcher:
        await watcher.subscribe("will")
        async with broker.peer("one", will=Will("will", b"gone")) as peer:
            peer.send(Connect(V5, "one"))
            await peer.goodbye()
            assert await watcher.payloads() == [b"gone"]


@every_version
async def test_a_will_on_a_dollar_topic_is_no_reason_to_refuse_and_never_published(
    version: Version,
) -> None:
    rules = 'rules: [{user: "*", allow: [publish, subscribe], topics: ["x", "$SYS/#"]}]'
    async with served(rules) as broker, broker.peer("watcher") as watcher:
        await watcher.subscribe("$SYS/#", "x")
        will = Will("$SYS/broker/connection/bridge/state", b"0", Q1, retain=True)
        async with broker.peer("bridge", version, will=will) as peer:
            peer.vanish()
        await until(lambda: len(broker.connections) == 1, "the bridge is gone")
        assert await watcher.messages() == []
        async with broker.opened(version) as refused:
            refused.send(Connect(version, "other", will=Will("elsewhere", b"gone")))
            assert (await refused.expect(Connack)).reason is Reason.NOT_AUTHORIZED


async def test_wills_are_published_when_the_broker_stops() -> None:
    late = Will("late", b"gone", retain=True, properties=Properties(will_delay_interval_s=3600))
    async with served() as broker:
        async with broker.peer("late", properties=LASTS, will=late) as peer:
            peer.vanish()
        await broker.gone()
        async with (
            broker.peer("watcher") as watcher,
            broker.peer("soon", will=Will("soon", b"gone", retain=True)),
        ):
            broker.core.stop()
            assert (await watcher.goodbye()).reason is Reason.SERVER_SHUTTING_DOWN
        assert set(broker.core.retained.topics("#")) == {"late", "soon"}


# --- keep-alive


@every_version
async def test_3_1_2_22_a_silent_client_is_dead_after_one_and_a_half_keep_alives(
    version: Version,
) -> None:
    loop = asyncio.get_running_loop()
    async with served() as broker, broker.peer("watcher") as watcher:
        await watcher.subscribe("will")
        will = Will("will", b"gone")
        async with broker.peer("frozen", version, keep_alive_s=1, will=will) as peer:
            began = loop.time()
            packets = await peer.until_closed()
            assert loop.time() - began > 1.4
            if version is V5:
                (goodbye,) = packets
                assert isinstance(goodbye, Disconnect)
                assert goodbye.reason is Reason.KEEP_ALIVE_TIMEOUT
            assert await watcher.payloads() == [b"gone"]


async def test_3_1_2_22_pings_keep_a_client_alive_and_0_means_no_limit() -> None:
    async with (
        served() as broker,
        broker.peer("pings", keep_alive_s=1) as pings,
        broker.peer("silent", keep_alive_s=0) as silent,
    ):
        for _ in range(5):
            await asyncio.sleep(0.4)
            pings.send(Pingreq())
            await pings.expect(Pingresp)
        assert await silent.settled() == []


async def test_3_1_2_21_mqtt_5_hears_the_keep_alive_that_counts() -> None:
    async with served(max_keep_alive_s=60) as broker:
        async with broker.peer("long", keep_alive_s=120) as peer:
            assert peer.connack.properties.server_keep_alive_s == 60
        async with broker.peer("none", keep_alive_s=0) as peer:
            assert peer.connack.properties.server_keep_alive_s == 60
        async with broker.peer("short", keep_alive_s=30) as peer:
            assert peer.connack.properties.server_keep_alive_s is None


# --- the end


@every_version
@pytest.mark.parametrize("closes", [False, True])
async def test_3_14_4_all_that_came_before_a_disconnect_counts_and_nothing_after(
    version: Version, closes: bool
) -> None:
    async with served() as broker, broker.peer("watcher") as watcher:
        await watcher.subscribe("a")
        burst = [Publish("a", b"%d" % number) for number in range(5000)]
        async with broker.opened(version) as peer:
            peer.send(Connect(version, "one"), *burst, Disconnect(), Publish("a", b"after"))
            if closes:
                await peer.writer.drain()
                peer.writer.close()
            else:
                assert [type(packet) for packet in await peer.until_closed()] == [Connack]
        got: list[bytes] = []
        while len(got) < len(burst):
            got += await watcher.payloads()
        assert got == [message.payload for message in burst]
        assert await watcher.messages() == []


async def test_what_is_piped_behind_a_connect_is_done_in_its_order() -> None:
    async with served() as broker, broker.opened() as peer:
        subscribes = [b"\x82\x07\x00\x01\x00\x00\x01a\x00"] * 3000  # deeper than the stack
        peer.send(Connect(V5, "one"), *subscribes, Publish("a", b"1"))
        await peer.expect(Connack)
        packets = await peer.settled()
        assert len(packets) == 3001
        assert isinstance(packets[-1], Publish)
