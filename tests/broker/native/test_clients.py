"""Real clients of every version at the native broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import paho.mqtt.client as paho
import pytest
from amqtt.client import MQTTClient
from argon2 import PasswordHasher
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from broker.link import QoS
from tests.broker.native.listening import listening
from tests.broker.native.peer import EVERY_VERSION, Served, served
from tests.real_ends import DEADLINE_S, program, until

MOSQUITTO_VERSIONS = {"31": "mqttv31", "311": "mqttv311", "5": "mqttv5"}


@asynccontextmanager
async def mosquitto_sub(port: int, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        program("mosquitto_sub"),
        "-p", str(port), "-F", "%t %q %r %p", *options,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def mosquitto_pub(port: int, *options: str) -> None:
    process = await asyncio.create_subprocess_exec(
        program("mosquitto_pub"), "-p", str(port), *options
    )
    async with asyncio.timeout(DEADLINE_S):
        assert await process.wait() == 0


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        return (await process.stdout.readline()).decode().strip()


@pytest.mark.parametrize("version", MOSQUITTO_VERSIONS)
async def test_mosquitto_pub_and_sub_talk_through_it_in_every_version(version: str) -> None:
    spoken = ("-V", MOSQUITTO_VERSIONS[version])
    async with served() as broker:
        await mosquitto_pub(broker.port, *spoken, "-t", "a/b", "-m", "kept", "-q", "1", "-r")
        async with mosquitto_sub(broker.port, *spoken, "-t", "a/#", "-q", "2") as subscriber:
            assert await line(subscriber) == "a/b 1 1 kept"
            for qos in "012":
                await mosquitto_pub(
                    broker.port, *spoken, "-t", "a/c", "-m", f"live {qos}", "-q", qos
                )
                assert await line(subscriber) == f"a/c {qos} 0 live {qos}"


async def test_mosquitto_sub_finds_its_session_again() -> None:
    stays = ("-V", "mqttv311", "-c", "-i", "stays", "-q", "2", "-t", "a")
    async with served() as broker:
        async with mosquitto_sub(broker.port, *stays, "-E"):
            await until(lambda: broker.core.census().subscriptions == 1, "it has subscribed")
        await broker.gone()
        for number in range(50):
            await mosquitto_pub_once(broker, b"%d" % number)
        async with mosquitto_sub(broker.port, *stays) as subscriber:
            for number in range(50):
                assert await line(subscriber) == f"a 2 0 {number}"


async def mosquitto_pub_once(broker: Served, payload: bytes) -> None:
    async with broker.peer("publisher") as peer:
        await peer.publish("a", payload, QoS.EXACTLY_ONCE)


@pytest.mark.parametrize("version", EVERY_VERSION)
async def test_paho_gets_what_it_published_at_every_qos(version: int) -> None:
    got: list[tuple[str, bytes, int]] = []
    loop = asyncio.get_running_loop()
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id="paho", protocol=MQTTProtocolVersion(version)
    )
    subscribed = asyncio.Event()

    def take(_client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        one = (message.topic, bytes(message.payload), message.qos)
        loop.call_soon_threadsafe(got.append, one)

    def on_subscribe(*_: object) -> None:
        loop.call_soon_threadsafe(subscribed.set)

    client.on_message = take
    client.on_subscribe = on_subscribe
    async with served() as broker:
        await asyncio.to_thread(client.connect, "127.0.0.1", broker.port)
        client.loop_start()
        try:
            client.subscribe("a/#", 2)
            async with asyncio.timeout(DEADLINE_S):
                await subscribed.wait()
            sent = [(f"a/{n % 3}", b"%d" % n, n % 3) for n in range(60)]
            for topic, payload, qos in sent:
                client.publish(topic, payload, qos)
            await until(lambda: len(got) == len(sent), "all have come")
            for qos in range(3):
                assert [m for m in got if m[2] == qos] == [m for m in sent if m[2] == qos]
        finally:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)
            await broker.gone()


async def test_amqtts_client_gets_what_it_published_at_every_qos() -> None:
    async with served() as broker:
        client = MQTTClient(client_id="amqtt", config={"auto_reconnect": False})
        await client.connect(f"mqtt://127.0.0.1:{broker.port}/")
        try:
            await client.subscribe([("a/#", 2)])
            for qos in range(3):
                await client.publish("a/b", b"%d" % qos, qos=qos)
                message = await client.deliver_message(timeout_duration=DEADLINE_S)
                assert message is not None
                assert message.topic == "a/b"
                assert bytes(message.data or b"") == b"%d" % qos
        finally:
            await client.disconnect()
        await broker.gone()


HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("right")
USERS = f"""
users: {{ada: {{password: "{HASH}"}}}}
rules: [{{user: ada, allow: [publish, subscribe], topics: ["a/#"]}}]
"""


@pytest.mark.parametrize("version", MOSQUITTO_VERSIONS)
async def test_mosquittos_clients_log_in_and_are_told_when_they_may_not(version: str) -> None:
    async with listening("mqtt", users=USERS) as broker:
        (port,) = broker.ports

        async def said(name: str, password: str, topic: str, *more: str) -> tuple[bool, str]:
            """Whether it ends well, and what it says."""
            process = await asyncio.create_subprocess_exec(
                program(name), "-p", str(port), "-V", MOSQUITTO_VERSIONS[version], "-u", "ada",
                "-P", password, "-t", topic, "-q", "1", *more,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            async with asyncio.timeout(DEADLINE_S):
                text, _ = await process.communicate()
            return process.returncode == 0, text.decode().strip()

        assert await said("mosquitto_pub", "right", "a/b", "-m", "x", "-r") == (True, "")
        ended_well, text = await said("mosquitto_pub", "wrong", "a/b", "-m", "x")
        assert not ended_well
        assert "bad user name or password" in text.lower()
        assert await said("mosquitto_sub", "right", "a/b", "-C", "1") == (True, "x")
        _, text = await said("mosquitto_sub", "right", "b", "-C", "1")
        assert "denied" in text


@pytest.mark.parametrize("scheme", ["mqtt", "ws/mqtt"])
async def test_amqtts_client_logs_in_over_tcp_and_websocket(scheme: str) -> None:
    async with listening(scheme, users=USERS) as broker:
        (url,) = broker.urls
        client = MQTTClient(client_id="amqtt", config={"auto_reconnect": False})
        await client.connect(url.replace("://", "://ada:right@"))
        try:
            assert await client.subscribe([("a/#", 1), ("b", 1)]) == [1, 0x80]
            await client.publish("a/b", b"hello", qos=1)
            message = await client.deliver_message(timeout_duration=DEADLINE_S)
            assert message is not None
            assert bytes(message.data or b"") == b"hello"
        finally:
            await client.disconnect()
