"""PUBLISH, SUBSCRIBE and what they carry, by the clauses of MQTT 3.1.1 and 5."""

from __future__ import annotations

import asyncio

import pytest

from broker.link import QoS
from broker.native.packet import (
    Connect,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscribeRequest,
    Unsuback,
    Unsubscribe,
    Version,
)
from broker.native.properties import Properties
from broker.native.reason import Reason
from tests.broker.native.peer import EVERY_VERSION, V5, V31, V311, served

Q0, Q1, Q2 = QoS.AT_MOST_ONCE, QoS.AT_LEAST_ONCE, QoS.EXACTLY_ONCE
LASTS = Properties(session_expiry_interval_s=3600)
every_version = pytest.mark.parametrize("version", EVERY_VERSION)


@pytest.mark.parametrize("receiver", EVERY_VERSION)
@pytest.mark.parametrize("sender", EVERY_VERSION)
async def test_3_8_4_8_a_message_comes_at_the_lower_of_both_qos_between_all_versions(
    sender: Version, receiver: Version
) -> None:
    async with (
        served() as broker,
        broker.peer("receiver", receiver) as subscriber,
        broker.peer("sender", sender) as publisher,
    ):
        for granted in QoS:
            await subscriber.subscribe("a/+", qos=granted)
            for published in QoS:
                await publisher.publish("a/b", b"x", published)
                (message,) = await subscriber.messages()
                assert (message.qos, message.retain, message.payload) == (
                    min(granted, published),
                    False,
                    b"x",
                )


@every_version
async def test_3_3_1_5_a_retained_message_is_for_those_who_come_later_until_it_is_cleared(
    version: Version,
) -> None:
    async with served() as broker, broker.peer("publisher", version) as publisher:
        for payload in (b"old", b"new"):
            await publisher.publish("a/b", payload, Q1, retain=True)
        async with broker.peer("late", version) as late:
            await late.subscribe("a/#")
            (message,) = await late.messages()
            assert (message.payload, message.retain, message.qos) == (b"new", True, Q1)
            await publisher.publish("a/b", b"newer", Q1, retain=True)
            (message,) = await late.messages()
            assert (message.payload, message.retain) == (b"newer", False)  # [MQTT-3.3.1-9]
            await publisher.publish("a/b", b"", Q1, retain=True)
            (message,) = await late.messages()
            assert (message.payload, message.retain) == (b"", False)
            await late.subscribe("a/#")
            assert await late.messages() == []


@every_version
async def test_4_7_2_1_a_leading_wildcard_matches_no_dollar_topic_and_nobody_writes_one(
    version: Version,
) -> None:
    async with served() as broker, broker.peer("one", version) as peer:
        await peer.subscribe("#", "+/x", "$SYS/#", "$other/x")
        for topic in ("$SYS/x", "$other/x"):
            for qos in (Q1, Q2):
                answer = await peer.publish(topic, b"1", qos, retain=True)
                assert isinstance(answer, Puback | Pubrec)
                expected = Reason.NOT_AUTHORIZED if version is V5 else Reason.SUCCESS
                assert answer.reason is expected
            await peer.publish(topic, b"1", Q0)
        assert await peer.messages() == []
        assert list(broker.core.retained.topics("$SYS/#")) == []


@every_version
@pytest.mark.parametrize("topic", ["a/+", "a/#", "#"])
async def test_3_3_2_2_a_wildcard_in_a_topic_name_ends_the_connection(
    version: Version, topic: str
) -> None:
    async with served() as broker, broker.peer("one", version) as peer:
        peer.send(Publish(topic, b"1"))
        if version is V5:
            assert (await peer.goodbye()).reason is Reason.TOPIC_NAME_INVALID
        else:
            assert await peer.until_closed() == []


@every_version
@pytest.mark.parametrize("topic_filter", ["a#", "a/#/b", "a+", ""])
async def test_4_7_1_1_a_filter_that_is_none_ends_the_connection(
    version: Version, topic_filter: str
) -> None:
    async with served() as broker, broker.peer("one", version) as peer:
        peer.send(Subscribe(1, (SubscribeRequest(topic_filter),)))
        packets = await peer.until_closed()
        assert len(packets) == (version is V5)


@every_version
async def test_3_8_4_5_one_suback_answers_all_filters_in_their_order(version: Version) -> None:
    users = """
users: {}
rules: [{user: "*", allow: [publish, subscribe], topics: ["open/#"]}]
"""
    async with served(users) as broker, broker.peer("one", version) as peer:
        suback = await peer.subscribe(
            SubscribeRequest("open/a", Q2),
            SubscribeRequest("closed", Q1),
            SubscribeRequest("open/b"),
        )
        refused = Reason.NOT_AUTHORIZED if version is V5 else Reason.UNSPECIFIED_ERROR
        assert suback.reasons == (Reason.GRANTED_QOS_2, refused, Reason.GRANTED_QOS_0)
        answer = await peer.publish("closed", b"1", Q1)
        assert isinstance(answer, Puback)
        assert answer.reason is (Reason.NOT_AUTHORIZED if version is V5 else Reason.SUCCESS)


@every_version
async def test_3_8_4_3_a_second_subscribe_replaces_the_first(version: Version) -> None:
    async with served() as broker, broker.peer("one", version) as peer:
        await peer.subscribe("a", qos=Q2)
        await peer.subscribe("a", qos=Q0)
        peer.publish_and_go_on("a")
        (message,) = await peer.messages()
        assert message.qos is Q0


@every_version
async def test_3_3_4_2_overlapping_subscriptions_give_one_message_at_the_highest_qos(
    version: Version,
) -> None:
    async with served() as broker, broker.peer("one", version) as peer:
        for topic_filter, qos in (("a/#", Q1), ("a/+", Q2), ("a/b", Q0)):
            await peer.subscribe(topic_filter, qos=qos, identifier=qos + 1 if version is V5 else 0)
        peer.publish_and_go_on("a/b")
        (message,) = await peer.messages()
        assert message.qos is Q2
        if version is V5:  # [MQTT-3.3.4-4]
            assert sorted(message.properties.subscription_identifiers) == [1, 2, 3]


@every_version
async def test_3_10_4_unsubscribe_ends_subscriptions_shared_ones_too(version: Version) -> None:
    async with served() as broker, broker.peer("one", version) as peer:
        await peer.subscribe("a", "$share/g/b")
        peer.send(Unsubscribe(2, ("a", "$share/g/b", "c")))
        unsuback = await peer.expect(Unsuback)
        missing = Reason.NO_SUBSCRIPTION_EXISTED
        expected = (Reason.SUCCESS, Reason.SUCCESS, missing) if version is V5 else ()
        assert unsuback.reasons == expected
        for topic in "abc":
            await peer.publish(topic, b"1")
        assert await peer.messages() == []


# --- QoS


@every_version
async def test_4_3_3_a_qos_2_message_is_routed_once_however_often_it_comes(
    version: Version,
) -> None:
    async with (
        served() as broker,
        broker.peer("watcher") as watcher,
        broker.peer("one", version) as peer,
    ):
        await watcher.subscribe("a")
        peer.send(Publish("a", b"1", Q2, packet_id=3))
        await peer.expect(Pubrec)
        peer.send(Publish("a", b"1", Q2, dup=True, packet_id=3))
        await peer.expect(Pubrec)
        peer.send(Pubrel(3))
        await peer.expect(Pubcomp)
        peer.send(Pubrel(3))
        pubcomp = await peer.expect(Pubcomp)
        expected = Reason.PACKET_IDENTIFIER_NOT_FOUND if version is V5 else Reason.SUCCESS
        assert pubcomp.reason is expected
        assert await watcher.payloads() == [b"1"]


async def test_3_5_2_1_a_pubrec_that_refuses_ends_the_message() -> None:
    async with served() as broker, broker.peer("one", properties=LASTS) as peer:
        await peer.subscribe("a")
        async with broker.peer("publisher") as publisher:
            await publisher.publish("a", b"1", Q2)
        message = await peer.expect(Publish)
        peer.send(Pubrec(message.packet_id, Reason.QUOTA_EXCEEDED))
        assert await peer.settled() == []
        peer.send(Pubrec(message.packet_id))
        assert await peer.expect(Pubrel) == Pubrel(
            message.packet_id, Reason.PACKET_IDENTIFIER_NOT_FOUND
        )


@every_version
@pytest.mark.parametrize(
    ("qos", "answer"), [(Q1, Pubrec), (Q1, Pubcomp), (Q2, Puback), (Q2, Pubcomp)]
)
async def test_4_3_an_acknowledgement_of_the_wrong_kind_is_a_protocol_error(
    version: Version, qos: QoS, answer: type[Puback | Pubrec | Pubcomp]
) -> None:
    async with served() as broker, broker.peer("one", version) as peer:
        await peer.subscribe("a")
        async with broker.peer("publisher") as publisher:
            await publisher.publish("a", b"1", qos)
        message = await peer.expect(Publish)
        peer.send(answer(message.packet_id))
        assert len(await peer.until_closed()) == (version is V5)


async def test_3_3_4_9_no_more_is_in_flight_than_the_client_takes() -> None:
    two = Properties(receive_maximum=2)
    async with (
        served() as broker,
        broker.peer("publisher") as publisher,
        broker.peer("one", properties=two) as peer,
    ):
        await peer.subscribe("a")
        for number in range(5):
            await publisher.publish("a", b"%d" % number, (Q1, Q2)[number % 2])
        first, second = await peer.settled()
        assert isinstance(first, Publish)
        assert isinstance(second, Publish)
        peer.send(Pubrec(second.packet_id))
        assert await peer.settled() == [Pubrel(second.packet_id)]
        peer.send(Puback(first.packet_id), Pubcomp(second.packet_id))
        assert await peer.payloads() == [b"2", b"3", b"4"]


async def test_3_3_4_7_a_client_with_more_open_qos_2_messages_than_it_may_is_sent_away() -> None:
    async with served() as broker, broker.peer("one") as peer:
        maximum = peer.connack.properties.receive_maximum
        assert maximum is not None
        peer.send(*(Publish("a", b"", Q2, packet_id=number + 1) for number in range(maximum + 1)))
        assert (await peer.goodbye()).reason is Reason.RECEIVE_MAXIMUM_EXCEEDED


async def test_before_mqtt_5_nobody_is_sent_away_for_a_maximum_that_nobody_told_them() -> None:
    async with served() as broker, broker.peer("one", V311) as peer:
        peer.send(*(Publish("a", b"", Q2, packet_id=number + 1) for number in range(3000)))
        assert len(await peer.settled()) == 3000


# --- MQTT 5


async def test_3_3_2_3_properties_go_through_to_mqtt_5_and_stay_away_from_others() -> None:
    properties = Properties(
        payload_format_indicator=True,
        content_type="text/plain",
        response_topic="answer",
        correlation_data=b"\0\1",
        user_properties=(("a", "1"), ("b", "2"), ("a", "3")),
    )
    async with (
        served() as broker,
        broker.peer("five") as five,
        broker.peer("three", V311) as three,
        broker.peer("publisher") as publisher,
    ):
        await five.subscribe("a")
        await three.subscribe("a")
        for qos in QoS:
            await publisher.publish("a", b"1", qos, retain=True, properties=properties)
            (message,) = await five.messages()
            assert message.properties == properties
            assert await three.payloads() == [b"1"]
        await five.subscribe("a", identifier=7)
        (message,) = await five.messages()
        assert message.properties.user_properties == properties.user_properties
        assert message.properties.subscription_identifiers == (7,)


async def test_3_3_2_6_a_message_says_what_is_left_of_its_expiry_and_dies_with_it() -> None:
    async with served() as broker, broker.peer("publisher") as publisher:
        async with broker.peer("one", properties=LASTS) as peer:
            await peer.subscribe("queued/#")
            await peer.leave()
        short, long = (Properties(message_expiry_interval_s=s) for s in (1, 60))
        for qos in (Q0, Q1):
            for topic, properties in (("short", short), ("long", long)):
                await publisher.publish(
                    f"kept/{qos}/{topic}", b"1", qos, retain=True, properties=properties
                )
        for topic, properties in (("short", short), ("long", long)):
            await publisher.publish(f"queued/{topic}", b"1", Q1, properties=properties)
        await asyncio.sleep(1.6)
        async with broker.peer("one", clean_start=False, properties=LASTS) as peer:
            messages = await peer.messages()
            await peer.subscribe("kept/#")
            messages += await peer.messages()
            assert {m.topic for m in messages} == {"queued/long", "kept/0/long", "kept/1/long"}
            for message in messages:
                assert message.properties.message_expiry_interval_s in (57, 58, 59)


async def test_3_3_2_3_4_a_client_may_use_aliases() -> None:
    async with served() as broker, broker.peer("watcher") as watcher, broker.peer("one") as peer:
        await watcher.subscribe("#")
        maximum = peer.connack.properties.topic_alias_maximum
        assert maximum
        peer.send(Publish("a", b"1", properties=Properties(topic_alias=maximum)))
        peer.send(Publish("", b"2", properties=Properties(topic_alias=maximum)))
        peer.send(Publish("b", b"3", properties=Properties(topic_alias=maximum)))
        peer.send(Publish("", b"4", Q1, packet_id=1, properties=Properties(topic_alias=maximum)))
        await peer.settled()
        got = [(m.topic, m.payload, m.properties) for m in await watcher.messages()]
        empty = Properties()
        assert got == [
            (topic, payload, empty)
            for topic, payload in (("a", b"1"), ("a", b"2"), ("b", b"3"), ("b", b"4"))
        ]


@pytest.mark.parametrize("alias", [0, 60_000])
async def test_3_3_2_9_an_alias_that_may_not_be_ends_the_connection(alias: int) -> None:
    async with served() as broker, broker.peer("one") as peer:
        peer.send(b"\x30\x08\x00\x01a\x03\x23" + alias.to_bytes(2, "big") + b"1")
        assert (await peer.goodbye()).reason is Reason.TOPIC_ALIAS_INVALID


async def test_3_3_2_3_4_an_alias_that_stands_for_nothing_is_a_protocol_error() -> None:
    async with served() as broker, broker.peer("one") as peer:
        peer.send(Publish("", b"1", properties=Properties(topic_alias=1)))
        assert (await peer.goodbye()).reason is Reason.PROTOCOL_ERROR


async def test_3_1_2_26_a_client_that_takes_aliases_is_given_no_more_than_it_takes() -> None:
    two = Properties(topic_alias_maximum=2)
    async with (
        served() as broker,
        broker.peer("publisher") as publisher,
        broker.peer("one", properties=two) as peer,
    ):
        await peer.subscribe("#")
        for topic in ("a", "b", "c", "c", "b", "a"):
            for qos in QoS:
                await publisher.publish(topic, b"1", qos)
        messages = await peer.messages()
        assert [(m.topic, m.properties.topic_alias) for m in messages] == [
            ("a", 1), ("", 1), ("", 1), ("b", 2), ("", 2), ("", 2), *[("c", None)] * 6,
            *[("", 2)] * 3, *[("", 1)] * 3,
        ]  # fmt: skip


async def test_3_1_2_25_a_message_too_large_for_a_client_is_left_out_for_it() -> None:
    small = Properties(maximum_packet_size=100, topic_alias_maximum=5)
    async with (
        served() as broker,
        broker.peer("publisher") as publisher,
        broker.peer("one", properties=small) as peer,
    ):
        await peer.subscribe("#")
        for qos in QoS:
            await publisher.publish("a", bytes(100), qos)
            await publisher.publish("a", b"1", qos)
        messages = await peer.messages()
        assert [(m.topic, m.payload) for m in messages] == [("a", b"1"), ("", b"1"), ("", b"1")]


async def test_3_2_2_15_a_packet_larger_than_we_take_is_refused_with_its_reason() -> None:
    async with served() as broker, broker.peer("one") as peer:
        maximum = peer.connack.properties.maximum_packet_size
        assert maximum is not None
        peer.send(Publish("a", bytes(maximum)))
        assert (await peer.goodbye()).reason is Reason.PACKET_TOO_LARGE


async def test_3_1_2_24_a_client_that_takes_not_even_our_connack_is_not_let_in() -> None:
    async with served() as broker, broker.opened() as peer:
        peer.send(Connect(V5, "one", properties=Properties(maximum_packet_size=4)))
        assert await peer.until_closed() == []
        assert broker.core.census().clients == 0


async def test_3_8_3_3_no_local_keeps_from_a_client_what_it_published() -> None:
    async with served() as broker, broker.peer("one") as one, broker.peer("two") as two:
        await one.subscribe(SubscribeRequest("a/#", Q2, no_local=True), identifier=1)
        await one.publish("a/b", b"own")
        await two.publish("a/b", b"other")
        assert await one.payloads() == [b"other"]
        await one.subscribe("a/b", qos=Q0, identifier=2)
        one.publish_and_go_on("a/b")
        (message,) = await one.messages()
        assert (message.qos, message.properties.subscription_identifiers) == (Q0, (2,))


async def test_3_8_3_1_retain_as_published_keeps_the_flag() -> None:
    async with served() as broker, broker.peer("one") as one, broker.peer("two") as two:
        await one.subscribe(SubscribeRequest("a", Q2, retain_as_published=True))
        for qos in QoS:
            for retain in (False, True):
                await two.publish("a", b"1", qos, retain=retain)
                assert [m.retain for m in await one.messages()] == [retain]


@pytest.mark.parametrize(("handling", "first", "second"), [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
async def test_3_3_1_9_retain_handling_says_when_retained_messages_come(
    handling: int, first: int, second: int
) -> None:
    async with served() as broker, broker.peer("one") as peer:
        await peer.publish("a", b"1", retain=True)
        for count in (first, second):
            await peer.subscribe(SubscribeRequest("a", Q2, retain_handling=handling))
            assert len(await peer.messages()) == count


async def test_3_3_2_1_who_publishes_for_nobody_hears_so() -> None:
    async with served() as broker, broker.peer("one") as peer:
        for qos, kind in ((Q1, Puback), (Q2, Pubrec)):
            answer = await peer.publish("a", b"1", qos)
            assert isinstance(answer, kind)
            assert answer.reason is Reason.NO_MATCHING_SUBSCRIBERS


# --- shared subscriptions


@pytest.mark.parametrize("version", [V31, V311, V5])
async def test_4_8_2_each_message_of_a_shared_subscription_goes_to_one_member(
    version: Version,
) -> None:
    async with (
        served() as broker,
        broker.peer("one", version) as one,
        broker.peer("two", version) as two,
        broker.peer("plain") as plain,
        broker.peer("publisher") as publisher,
    ):
        await publisher.publish("a", b"retained", retain=True)
        for member in (one, two):
            await member.subscribe("$share/g/a")
            assert await member.messages() == []  # nothing retained for these
        await plain.subscribe("a")
        await plain.messages()
        sent = [b"%d" % number for number in range(6)]
        for number, payload in enumerate(sent):
            await publisher.publish("a", payload, QoS(number % 3))
        assert await one.payloads() == sent[0::2]
        assert await two.payloads() == sent[1::2]
        assert await plain.payloads() == sent
        await two.leave()
        for payload in (b"x", b"y"):
            await publisher.publish("a", payload, Q1)
        assert await one.payloads() == [b"x", b"y"]


async def test_4_8_2_a_member_that_is_there_is_preferred_to_one_that_is_away() -> None:
    async with served() as broker, broker.peer("publisher") as publisher:
        async with broker.peer("away", properties=LASTS) as away:
            await away.subscribe("$share/g/a")
            await away.leave()
        await publisher.publish("a", b"kept for it", Q1)
        async with broker.peer("here") as here:
            await here.subscribe("$share/g/a")
            for number in range(3):
                await publisher.publish("a", b"%d" % number, Q1)
            assert await here.payloads() == [b"0", b"1", b"2"]
        async with broker.peer("away", clean_start=False, properties=LASTS) as away:
            assert await away.payloads() == [b"kept for it"]


async def test_4_8_2_what_a_member_leaves_unacknowledged_goes_to_another() -> None:
    narrow = Properties(receive_maximum=2)
    async with (
        served() as broker,
        broker.peer("publisher") as publisher,
        broker.peer("leaves", properties=narrow) as leaves,
    ):
        await leaves.subscribe("$share/g/a")
        for number, qos in enumerate((Q1, Q2, Q1, Q2)):
            await publisher.publish("a", b"%d" % number, qos)
        assert len(await leaves.settled()) == 2
        async with broker.peer("stays") as stays:
            await stays.subscribe("$share/g/a")
            leaves.vanish()
            got: list[bytes] = []
            while len(got) < 3:
                got += await stays.payloads()
            # The QoS 2 message that was sent may be there already [MQTT-4.8.2-5].
            assert got == [b"0", b"2", b"3"]


# --- what Home Assistant does


async def test_a_bulk_of_500_filters_and_75_identifiers_each_come_back_on_their_messages() -> None:
    async with (
        served() as broker,
        broker.peer("ha", keep_alive_s=60) as ha,
        broker.peer("device") as device,
    ):
        suback = await ha.subscribe(*(f"bulk/{number}" for number in range(500)), qos=Q1)
        assert suback.reasons == (Reason.GRANTED_QOS_1,) * 500
        for number in range(75):
            request = SubscribeRequest(f"discovery/{number}/+/config", Q0)
            held = Properties(subscription_identifiers=(number + 1,))
            ha.send(Subscribe(number + 2, (request,), held))
        assert [type(packet) for packet in await ha.settled()] == [Suback] * 75
        for number in range(75):
            await device.publish(f"discovery/{number}/x/config", b"{}", retain=True)
        assert [m.properties.subscription_identifiers for m in await ha.messages()] == [
            (number + 1,) for number in range(75)
        ]


async def test_thousands_of_retained_messages_all_come_in_one_burst_at_any_qos() -> None:
    count = 12_000  # more than what is queued for one client
    async with served() as broker, broker.peer("publisher", V311) as publisher:
        publisher.send(
            *(Publish(f"a/{number}", b"x", Q1, retain=True, packet_id=1) for number in range(count))
        )
        assert len(await publisher.settled()) == count
        async with broker.peer("ha") as ha:
            await ha.subscribe("#", qos=Q0)
            assert len(await ha.messages()) == count
            await ha.subscribe("#", qos=Q1)
            topics: set[str] = set()
            while len(topics) < count:
                topics.update(m.topic for m in await ha.messages())
