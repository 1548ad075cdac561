"""Home Assistant's start at the native broker, with paho-mqtt and with the documented rules."""

from __future__ import annotations

import asyncio
import re
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import paho.mqtt.client as paho
import pytest
from argon2 import PasswordHasher
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.broker.native.listening import listening
from tests.mqtt_packets import connected, publish
from tests.program import ROOT
from tests.real_ends import until

DOCUMENT = (ROOT / "docs" / "home-assistant.md").read_text(encoding="utf-8")
(RULES,) = re.findall(r"```yaml\n(rules:\n.*?)```", DOCUMENT, re.DOTALL)
HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("right")
USERS = f"""
users:
  ha: {{password: "{HASH}", groups: [homeassistant]}}
  plant: {{password: "{HASH}"}}
{RULES}
  - {{user: plant, allow: [publish, subscribe], topics: ["#"]}}
"""
PLANT = ("plant", "right")

ACK_S = 10
"""How long Home Assistant waits for a SUBACK or PUBACK."""

COMPONENTS = re.findall(
    r"\w+",
    "alarm_control_panel binary_sensor button camera climate cover device_automation device_tracker"
    " event fan humidifier image lawn_mower light lock notify number scene select sensor siren"
    " switch tag text update vacuum valve water_heater date time datetime",
)
INTEGRATIONS = [
    "arwn/#",
    "drop_connect/discovery/#",
    "dsmr/#",
    "esphome/discover/#",
    "fully/deviceInfo/+",
    "/greencell/broadcast/device",
    "inels/status/#",
    "pglab/discovery/#",
    "cloudapp/QBUSMQTTGW/state",
    "cloudapp/QBUSMQTTGW/config",
    "cloudapp/QBUSMQTTGW/+/state",
    "tasmota/discovery/#",
]
DISCOVERY = [
    *(f"homeassistant/{component}/+/config" for component in COMPONENTS),
    *(f"homeassistant/{component}/+/+/config" for component in COMPONENTS),
    "homeassistant/device/+/config",
    "homeassistant/device/+/+/config",
    *INTEGRATIONS,
    "homeassistant/#",
]
"""`homeassistant/#` overlaps the others: a message then has two identifiers, or comes twice."""

CLIENT_ID = "1Zc8JbVwQe5Xo7Tq2RuLmN"
assert len(CLIENT_ID) == 22


class HomeAssistant:
    """Its MQTT client, as far as a broker sees it."""

    def __init__(self, port: int, client_id: str = CLIENT_ID, password: str = "right") -> None:
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._acknowledged: dict[int, list[ReasonCode]] = {}
        self.received: dict[str, list[paho.MQTTMessage]] = defaultdict(list)
        self.answer: ReasonCode | None = None
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.username_pw_set("ha", password)
        client.will_set("homeassistant/status", "offline")
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish

    async def connect(self) -> None:
        await asyncio.to_thread(self._client.connect, "127.0.0.1", self._port, 60)
        self._client.loop_start()
        await until(lambda: self.answer is not None, "CONNACK")

    async def disconnect(self) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def vanish(self) -> None:
        """Leave without a DISCONNECT."""
        connection = self._client.socket()
        assert isinstance(connection, socket.socket)
        connection.shutdown(socket.SHUT_RDWR)
        await asyncio.to_thread(self._client.loop_stop)

    async def subscribe(self, filters: Iterable[str], identifier: int = 0) -> list[ReasonCode]:
        """One SUBSCRIBE packet; gives what its SUBACK says."""
        # paho annotates all but this constructor
        properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
        if identifier:
            properties.SubscriptionIdentifier = identifier
        wanted = [(each, SubscribeOptions(qos=1)) for each in filters]
        _, mid = self._client.subscribe(wanted, properties=properties)
        assert mid is not None
        return await self._answer_to(mid)

    async def publish(self, topic: str, payload: str, *, retain: bool = False) -> list[ReasonCode]:
        """At QoS 1; gives what its PUBACK says."""
        return await self._answer_to(self._client.publish(topic, payload, 1, retain).mid)

    def payloads(self, topic: str) -> list[bytes]:
        return [bytes(message.payload) for message in self.received[topic]]

    def identifiers(self, topic: str) -> set[int]:
        """Those that came with the messages of a topic."""
        found: set[int] = set()
        for message in self.received[topic]:
            found.update(getattr(message.properties, "SubscriptionIdentifier", ()))
        return found

    async def _answer_to(self, mid: int) -> list[ReasonCode]:
        await until(lambda: mid in self._acknowledged, "an answer", deadline_s=ACK_S)
        return self._acknowledged.pop(mid)

    def _on_connect(self, *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(setattr, self, "answer", arguments[3])

    def _on_message(self, _client: paho.Client, _user: object, message: paho.MQTTMessage) -> None:
        self._loop.call_soon_threadsafe(self.received[message.topic].append, message)

    def _on_subscribe(self, *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(self._acknowledged.__setitem__, *arguments[2:4])

    def _on_publish(self, *arguments: Any) -> None:
        mid, reason = arguments[2:4]
        self._loop.call_soon_threadsafe(self._acknowledged.__setitem__, mid, [reason])


@asynccontextmanager
async def home_assistant(port: int) -> AsyncIterator[HomeAssistant]:
    """Home Assistant, connected after it has tried the login; it vanishes in the end."""
    attempt = HomeAssistant(port, "5oBzr7sX0kQfJ3hT9wLdYe")
    await attempt.connect()
    await attempt.disconnect()
    assert attempt.answer is not None
    assert not attempt.answer.is_failure
    client = HomeAssistant(port)
    await client.connect()
    try:
        yield client
    finally:
        await client.vanish()


async def test_each_of_its_filters_is_granted_and_has_an_identifier_that_comes_back() -> None:
    async with (
        listening("mqtt", users=USERS) as broker,
        home_assistant(broker.ports[0]) as client,
        connected(broker.ports[0], "plant", login=PLANT) as plant,
    ):
        for number, topic_filter in enumerate(DISCOVERY, 1):
            (granted,) = await client.subscribe([topic_filter], number)
            assert not granted.is_failure, topic_filter
        for topic_filter in DISCOVERY:
            topic = topic_filter.replace("+", "one").replace("#", "one")
            await plant.send(publish(topic, b"{}"))
        last = DISCOVERY[-1].replace("#", "one")
        await until(lambda: client.received[last], "all are there")
        everything = len(DISCOVERY)
        for number, topic_filter in enumerate(DISCOVERY, 1):
            topic = topic_filter.replace("+", "one").replace("#", "one")
            expected = {number, everything} if topic.startswith("homeassistant/") else {number}
            assert client.identifiers(topic) == expected, topic


async def test_five_hundred_topics_in_one_packet_and_all_retained_messages_in_one_burst() -> None:
    count = 4000
    async with listening("mqtt", users=USERS) as broker:
        port = broker.ports[0]
        async with connected(port, "plant", login=PLANT) as plant:
            for number in range(count):
                topic = f"fieldgate/d{number // 10}/p{number % 10}"
                await plant.send(publish(topic, b"%d" % number, retain=True))
            assert await plant.ping() == []
        async with home_assistant(port) as client:
            exact = [f"fieldgate/d{number // 10}/p{number % 10}" for number in range(500)]
            assert {str(reason) for reason in await client.subscribe(exact)} == {"Granted QoS 1"}
            await client.subscribe(["fieldgate/#"], 1)
            acknowledged = await client.publish("homeassistant/status", "online")
            assert not acknowledged[0].is_failure  # sent in the midst of the burst
            await until(lambda: len(client.received) >= count, "every topic has come")
            assert client.payloads("fieldgate/d399/p9") == [b"3999"]
            assert all(message.retain for message in client.received["fieldgate/d399/p9"])


async def test_what_a_user_deletes_is_cleared_for_those_to_come() -> None:
    topic = "homeassistant/device/boiler/config"
    async with listening("mqtt", users=USERS) as broker:
        port = broker.ports[0]
        async with (
            connected(port, "plant", login=PLANT) as plant,
            home_assistant(port) as client,
        ):
            await plant.send(publish(topic, b"{}", retain=True))
            await plant.ping()
            await client.subscribe([topic])
            await until(lambda: client.received[topic], "it is discovered")
            await client.publish(topic, "", retain=True)
            await until(lambda: client.payloads(topic) == [b"{}", b""], "it is told so, too")
        async with connected(port, "later", login=PLANT) as later:
            await later.subscribe("homeassistant/device/#")
            assert await later.ping() == []


async def test_commands_are_let_through_and_nothing_that_the_rules_do_not_name() -> None:
    async with (
        listening("mqtt", users=USERS) as broker,
        home_assistant(broker.ports[0]) as client,
        connected(broker.ports[0], "plant", login=PLANT) as plant,
    ):
        await plant.subscribe("#")
        assert not (await client.publish("fieldgate/boiler/set", "on"))[0].is_failure
        for topic in ("elsewhere", "tasmota/discovery/x", "$SYS/broker/uptime"):
            assert str((await client.publish(topic, "x"))[0]) == "Not authorized"
        for topic_filter in ("#", "elsewhere", "$SYS/#"):
            assert str((await client.subscribe([topic_filter]))[0]) == "Not authorized"
        assert [message.topic for message in await plant.ping()] == ["fieldgate/boiler/set"]


async def test_its_will_is_published_when_it_leaves_without_a_word() -> None:
    async with listening("mqtt", users=USERS) as broker:
        port = broker.ports[0]
        async with connected(port, "plant", login=PLANT) as plant:
            await plant.subscribe("homeassistant/status")
            async with home_assistant(port) as client:
                await client.publish("homeassistant/status", "online")
                assert (await plant.read()).payload == b"online"
            assert (await plant.read()).payload == b"offline"


async def test_a_device_that_freezes_is_declared_dead() -> None:
    availability = "fieldgate/boiler/availability"
    async with (
        listening("mqtt", users=USERS) as broker,
        home_assistant(broker.ports[0]) as client,
    ):
        await client.subscribe([availability], 7)
        will = (availability, b"offline")
        frozen = connected(
            broker.ports[0], "boiler", login=PLANT, keep_alive_s=1, will=will, will_retain=True
        )
        async with frozen as device:
            await device.send(publish(availability, b"online", retain=True))
            await until(lambda: client.payloads(availability) == [b"online"], "it is online")
            await until(lambda: len(client.payloads(availability)) == 2, "it is declared dead")
        assert client.payloads(availability) == [b"online", b"offline"]
        assert client.identifiers(availability) == {7}


@pytest.mark.parametrize("password", ["wrong", ""])
async def test_a_wrong_login_is_answered_by_what_makes_it_ask_for_another(password: str) -> None:
    async with listening("mqtt", users=USERS) as broker:
        client = HomeAssistant(broker.ports[0], password=password)
        await client.connect()
        await client.disconnect()
        assert str(client.answer) == "Bad user name or password"
