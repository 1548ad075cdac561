from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
from argon2 import PasswordHasher
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from broker.access import NoUsers, Users, parse_users
from broker.config import BrokerConfig
from broker.serving import serving as serving_broker
from tests.mqtt_packets import DISCONNECT, connect, connected, publish, subscribe
from tests.real_ends import DEADLINE_S, until
from tests.webui.serving import Web, serving
from webui.close_code import LOGGED_OUT, USERS_CHANGED

CONNACK, NOT_AUTHORIZED = b"\x20\x02\x00\x00", b"\x20\x02\x00\x05"
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
MQTT = [Subprotocol("mqtt")]
HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("right")
STARRED = f"""
users:
  ada: {{password: "{HASH}", groups: [admin]}}
rules:
  - {{user: "*", allow: [publish, subscribe], topics: ["#"]}}
"""
ADA_ALONE = STARRED.replace('user: "*"', "user: ada")


@asynccontextmanager
async def mqtt_on_the_web_port(users: str = "") -> AsyncIterator[tuple[Web, int]]:
    """A web server that carries MQTT to a native broker, and that broker's own port."""
    config = BrokerConfig(engine="native", listeners=["mqtt://127.0.0.1:0"])
    in_force = Users(parse_users(users)) if users else NoUsers()
    try:
        async with (
            serving_broker(config, users=in_force) as broker,
            serving(users=in_force) as web,
        ):
            web.state.attach = broker.attach
            yield web, int(broker.endpoint.url.rpartition(":")[2])
    finally:
        in_force.close()


@asynccontextmanager
async def page(web: Web, **options: Any) -> AsyncIterator[ClientConnection]:
    options = {"subprotocols": MQTT, "proxy": None, **options}
    async with (
        asyncio.timeout(DEADLINE_S),
        websocket(f"ws://127.0.0.1:{web.port}/mqtt", **options) as client,
    ):
        yield client


async def status_of(web: Web, **options: Any) -> int:
    with pytest.raises(InvalidStatus) as caught:
        async with page(web, **options):
            pass
    return caught.value.response.status_code


@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
async def test_paho_publishes_and_subscribes_on_the_web_port(version: MQTTProtocolVersion) -> None:
    async with mqtt_on_the_web_port() as (web, _):
        heard: list[bytes] = []
        client = paho.Client(CallbackAPIVersion.VERSION2, transport="websockets", protocol=version)
        client.ws_set_options("/mqtt")

        def subscribe_all(*_: object) -> None:
            client.subscribe("a/#", 1)

        def publish_one(*_: object) -> None:
            client.publish("a/b", bytes(400_000), 1)

        client.on_connect, client.on_subscribe = subscribe_all, publish_one
        client.on_message = lambda _client, _user, message: heard.append(bytes(message.payload))
        await asyncio.to_thread(client.connect, "127.0.0.1", web.port)
        client.loop_start()
        await until(lambda: heard, "what was published comes back")
        await asyncio.to_thread(client.disconnect)
        await asyncio.to_thread(client.loop_stop)
        assert heard == [bytes(400_000)]


async def test_it_meets_the_clients_of_the_brokers_own_port_whatever_the_frames() -> None:
    async with mqtt_on_the_web_port() as (web, port), connected(port, "other") as other:
        await other.subscribe("from/page")
        async with page(web) as client:
            assert client.subprotocol == "mqtt"
            said = connect("page") + subscribe("to/page") + publish("from/page", b"hello")
            for at in range(len(said)):
                await client.send(said[at : at + 1])
            assert (await other.read()).payload == b"hello"
            await other.send(publish("to/page", b"hello"))
            answer = b""
            while len(answer) < 4 + 5 + len(publish("to/page", b"hello")):
                answer += await client.recv(decode=False)
            assert answer.startswith(CONNACK)
            assert answer.endswith(publish("to/page", b"hello"))
            await client.send(DISCONNECT)
            await client.wait_closed()
            assert client.close_code == 1000


async def test_a_page_that_reads_nothing_loses_messages_and_slows_nobody() -> None:
    async with mqtt_on_the_web_port() as (web, port), connected(port, "other") as other:
        async with page(web) as client:
            await client.send(connect("page") + subscribe("flood"))
            assert (await client.recv(decode=False)).startswith(CONNACK)
            client.transport.pause_reading()
            for _ in range(20):
                await other.send(publish("flood", bytes(1_000_000)))
                await other.ping()
            client.transport.abort()
        assert await other.ping() == []


async def test_a_text_frame_ends_the_connection() -> None:
    async with mqtt_on_the_web_port() as (web, _), page(web) as client:
        await client.send("CONNECT")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1003


async def test_a_flood_of_tiny_frames_lets_others_have_their_turn() -> None:
    ping = b"\x89\x80\0\0\0\0"
    async with (
        mqtt_on_the_web_port() as (web, port),
        connected(port, "other") as other,
        page(web) as client,
    ):
        await client.send(connect("page"))
        assert await client.recv() == CONNACK
        client.transport.write(ping * 70_000)
        answered = asyncio.create_task(_answered(client))
        for _ in range(10):
            assert await other.ping() == []
        assert not answered.done()
        await answered


async def _answered(client: ClientConnection) -> None:
    """When all that was sent before is worked off."""
    await client.send(PINGREQ)
    assert await client.recv() == PINGRESP


async def test_what_is_no_mqtt_or_has_no_broker_is_refused() -> None:
    async with mqtt_on_the_web_port() as (web, _):
        assert await status_of(web, subprotocols=None) == 400
        assert await status_of(web, origin=Origin("https://elsewhere.example")) == 403
        web.state.attach = lambda _host, must_log_in, known_as=None: None  # noqa: ARG005 - as if it were full
        assert await status_of(web) == 503
    async with serving() as web:
        assert await status_of(web) == 404


async def test_who_somebody_is_connect_says() -> None:
    async with mqtt_on_the_web_port(STARRED.replace("*", "nobody")) as (web, _):
        async with page(web) as client:
            await client.send(connect("page", login=("ada", "right")))
            assert await client.recv() == CONNACK
        for login in (None, ("ada", "wrong")):
            async with page(web) as client:
                await client.send(connect("page", login=login))
                answer = await client.recv(decode=False)
                assert answer[:2] == b"\x20\x02"
                assert answer[3]


async def test_nobody_is_anonymous_through_a_proxy_or_under_another_name() -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.1"}
    async with mqtt_on_the_web_port() as (web, _):
        assert await status_of(web, additional_headers=forwarded) == 401
    async with mqtt_on_the_web_port(STARRED) as (web, _):
        async with page(web) as client:
            await client.send(connect("page"))
            assert await client.recv() == CONNACK
        async with page(web, additional_headers=forwarded) as client:
            await client.send(connect("page"))
            assert await client.recv() == NOT_AUTHORIZED
        async with page(web, additional_headers=forwarded) as client:
            await client.send(connect("page", login=("ada", "right")))
            assert await client.recv() == CONNACK


async def logged_in(web: Web) -> dict[str, str]:
    """The headers of a browser in which ada has logged in."""
    async with httpx.AsyncClient(base_url=web.url) as http:
        await http.post("/api/login", json={"user": "ada", "password": "right"})
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in http.cookies.items())}


async def test_a_page_whose_user_has_logged_in_needs_no_password_for_mqtt() -> None:
    async with mqtt_on_the_web_port(ADA_ALONE) as (web, _):
        headers = await logged_in(web)
        async with page(web) as client:
            await client.send(connect("nobody"))
            assert await client.recv() == NOT_AUTHORIZED
        forwarded = headers | {"X-Forwarded-For": "192.0.2.1"}
        for cookie in (headers, forwarded):
            async with page(web, additional_headers=cookie) as client:
                await client.send(connect("page"))
                assert await client.recv() == CONNACK
        async with page(web, additional_headers=headers) as client:
            await client.send(connect("page", login=("ada", "wrong")))
            assert (await client.recv(decode=False))[3] != 0, "what CONNECT names counts"


async def test_mqtt_by_a_login_ends_with_it() -> None:
    async with mqtt_on_the_web_port(ADA_ALONE) as (web, _):
        headers = await logged_in(web)
        async with (
            page(web, additional_headers=headers) as client,
            page(web, additional_headers=headers) as named,
        ):
            await client.send(connect("page"))
            assert await client.recv() == CONNACK
            async with httpx.AsyncClient(base_url=web.url, headers=headers) as http:
                await http.post("/api/logout", json={})
            await client.wait_closed()
            await named.wait_closed()
            assert (client.close_code, named.close_code) == (LOGGED_OUT, LOGGED_OUT)


async def test_mqtt_by_a_login_ends_with_it_though_its_page_reads_nothing() -> None:
    async with (
        mqtt_on_the_web_port(ADA_ALONE) as (web, port),
        connected(port, "other", login=("ada", "right")) as other,
    ):
        headers = await logged_in(web)
        await other.subscribe("gone")
        async with page(web, additional_headers=headers) as client:
            await client.send(connect("page", will=("gone", b"")) + subscribe("flood"))
            assert (await client.recv(decode=False)).startswith(CONNACK)
            client.transport.pause_reading()
            for _ in range(20):
                await other.send(publish("flood", bytes(1_000_000)))
                await other.ping()
            async with httpx.AsyncClient(base_url=web.url, headers=headers) as http:
                await http.post("/api/logout", json={})
            async with asyncio.timeout(DEADLINE_S / 2):
                await other.read_until_topic("gone")
            client.transport.abort()


async def test_a_server_that_stops_says_so_and_changed_users_are_no_reason() -> None:
    async with mqtt_on_the_web_port() as (web, _), page(web) as client:
        await client.send(connect("page", protocol=("MQTT", 5)))
        await client.recv()
        web.state.end_sessions(USERS_CHANGED, "changed")
        await client.send(PINGREQ)
        assert await client.recv() == PINGRESP
        web.state.stop()
        farewell = await client.recv(decode=False)
        assert (farewell[0], farewell[2]) == (0xE0, 0x8B)
        await client.wait_closed()
