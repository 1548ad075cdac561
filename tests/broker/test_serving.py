from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect as websocket
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from broker.config import BrokerConfig
from broker.errors import EngineError, ListenError
from broker.native.database import Database, Durability
from broker.serving import check_engine, serving
from tests.mqtt_packets import (
    DISCONNECT,
    PUBACK,
    connect,
    connected,
    deaf_subscriber,
    opened,
    publish,
    subscribe,
)
from tests.real_ends import DEADLINE_S, free_port


def amqtt(**keys: Any) -> BrokerConfig:
    return BrokerConfig(engine="amqtt", **keys)


AMQTT = amqtt(listeners=["mqtt://127.0.0.1:0"])


def port_of(url: str) -> int:
    return int(url.split("/")[2].rpartition(":")[2])


async def test_amqtt_serves_on_the_port_that_it_names() -> None:
    async with serving(AMQTT) as broker:
        assert broker.name == "amqtt 0.12.1"
        assert broker.addresses == [broker.endpoint.url]
        assert broker.endpoint.version == "3.1.1"
        port = port_of(broker.endpoint.url)
        async with connected(port, "one") as one, connected(port, "two") as two:
            await one.subscribe("a/+")
            await two.send(publish("a/b", b"hello"))
            (message,) = await one.read_until_topic("a/b")
            assert message.payload == b"hello"


def test_amqtt_that_is_not_installed_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "amqtt", None)
    with pytest.raises(EngineError, match=r"not installed: run `pip install 'fieldgate\[amqtt\]'`"):
        check_engine(AMQTT)


async def test_localhost_is_served_on_all_its_addresses_and_keeps_its_name() -> None:
    async with serving(amqtt(listeners=["mqtt://localhost:0"])) as broker:
        assert broker.endpoint.url.startswith("mqtt://localhost:")
        async with connected(port_of(broker.endpoint.url), "one") as one:
            assert await one.ping() == []


async def test_amqtt_serves_mqtt_over_websocket_beside_tcp() -> None:
    config = amqtt(listeners=["mqtt://127.0.0.1:0", "ws://127.0.0.1:0/mqtt"])
    async with serving(config) as broker:
        tcp, ws = broker.addresses
        async with (
            connected(port_of(tcp), "tcp") as sender,
            websocket(ws, subprotocols=[Subprotocol("mqtt")]) as browser,
        ):
            await browser.send(connect("browser") + subscribe("a"))
            assert await browser.recv() == b"\x20\x02\x00\x00"
            assert await browser.recv() == b"\x90\x03\x00\x01\x00"
            await sender.send(publish("a", b"hello"))
            assert await browser.recv() == publish("a", b"hello")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://elsewhere.example", "127.0.0.1"),
        (None, "rebound.example"),
        ("https://rebound.example", "rebound.example"),
    ],
)
async def test_a_page_of_another_site_is_refused(origin: str | None, host: str) -> None:
    async with serving(amqtt(listeners=["ws://127.0.0.1:0"])) as broker:
        port = port_of(broker.endpoint.url)
        with pytest.raises(InvalidStatus) as caught:
            await websocket(
                f"ws://{host}:{port}/",
                host="127.0.0.1",
                origin=Origin(origin) if origin else None,
                subprotocols=[Subprotocol("mqtt")],
                proxy=None,
            )
        assert caught.value.response.status_code == 403


async def test_a_page_of_a_named_site_or_of_our_own_is_let_in() -> None:
    config = amqtt(listeners=["ws://127.0.0.1:0"])
    async with serving(config, origins=["https://panel.example"]) as broker:
        own = f"http://127.0.0.1:{port_of(broker.endpoint.url)}"
        for origin in ("https://panel.example", own):
            async with websocket(
                broker.endpoint.url, origin=Origin(origin), subprotocols=[Subprotocol("mqtt")]
            ) as page:
                await page.send(connect("page"))
                assert await page.recv() == b"\x20\x02\x00\x00"


async def test_another_path_than_the_listeners_is_not_found() -> None:
    async with serving(amqtt(listeners=["ws://127.0.0.1:0/mqtt"])) as broker:
        with pytest.raises(InvalidStatus) as caught:
            await websocket(broker.endpoint.url + "/x", subprotocols=[Subprotocol("mqtt")])
        assert caught.value.response.status_code == 404


@pytest.mark.parametrize("wished", ["process", "power"])
async def test_the_native_engine_writes_as_durably_as_the_config_says(
    wished: Durability, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_for: list[str] = []

    class Recorder(Database):
        def __init__(self, path: Path, *, durability: Durability, max_bytes: int) -> None:
            opened_for.append(durability)
            super().__init__(path, durability=durability, max_bytes=max_bytes)

    monkeypatch.setattr("broker.native.data_folder.Database", Recorder)
    config = BrokerConfig(listeners=["mqtt://127.0.0.1:0"], durability=wished)
    async with (
        serving(config, data=tmp_path) as broker,
        connected(port_of(broker.endpoint.url), "one") as one,
    ):
        await one.send(publish("a", b"kept", packet_id=1, retain=True))
        assert (await one.read()).type == PUBACK
    assert opened_for == [wished]


@pytest.mark.parametrize(("wished_s", "is_told"), [(20, False), (120, True), (0, True)])
async def test_the_native_engine_tells_clients_how_long_their_keep_alive_may_be(
    wished_s: int, is_told: bool
) -> None:
    config = BrokerConfig(listeners=["mqtt://127.0.0.1:0"], max_keep_alive_s=30)
    async with serving(config) as broker:
        hello = connect("one", protocol=("MQTT", 5), keep_alive_s=wished_s)
        async with opened(port_of(broker.endpoint.url), hello) as one:
            connack = (await one.read()).body
    assert connack[1] == 0
    assert (b"\x13\x00\x1e" in connack) is is_told  # Server Keep Alive: 30 [MQTT5-3.2.2.3.14]


async def test_an_external_broker_is_named_and_nothing_is_started() -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    config = BrokerConfig(engine="external", url=url, username="u", version="5")
    async with serving(config) as broker:
        assert (broker.name, broker.addresses) == ("external", [url])
        assert broker.endpoint == config.endpoint()


async def test_a_taken_port_says_who_holds_it_and_both_remedies() -> None:
    async with serving(AMQTT) as broker:
        url = broker.endpoint.url
        with pytest.raises(ListenError) as caught:
            async with serving(amqtt(listeners=["mqtt://127.0.0.1:0", url])):
                pytest.fail("two listen on one port")
    text = str(caught.value)
    assert f"127.0.0.1:{port_of(url)} is taken: " in text
    assert "(pid " in text
    assert "another port in broker.listeners" in text
    assert "broker.engine: external" in text


@pytest.mark.parametrize(
    ("config", "has_users", "named"),
    [
        (amqtt(listeners=["mqtt://0.0.0.0:1883"]), False, "mqtt://0.0.0.0:1883"),
        (amqtt(listeners=["ws://nas.example:80"]), False, "ws://nas.example:80"),
        (amqtt(anonymous=False), False, "broker.anonymous"),
        (amqtt(), True, "users"),
    ],
)
def test_what_amqtt_cannot_guard_is_refused_with_reason_and_remedy(
    config: BrokerConfig, has_users: bool, named: str
) -> None:
    with pytest.raises(EngineError) as caught:
        check_engine(config, has_users=has_users)
    text = str(caught.value)
    assert named in text
    assert "no access rules" in text
    assert "broker.engine: external" in text


async def test_it_stops_in_time_whatever_its_clients_do() -> None:
    tasks_before = asyncio.all_tasks()
    config = amqtt(listeners=["mqtt://127.0.0.1:0", "ws://127.0.0.1:0"])
    async with asyncio.timeout(None) as deadline, serving(config) as broker:
        port = port_of(broker.endpoint.url)
        silent = await asyncio.open_connection("127.0.0.1", port)
        idle_page = await websocket(broker.addresses[1], subprotocols=[Subprotocol("mqtt")])
        busy_page = await websocket(broker.addresses[1], subprotocols=[Subprotocol("mqtt")])
        await busy_page.send(connect("page"))
        await busy_page.recv()
        sender_context = connected(port, "sender")
        sender = await sender_context.__aenter__()
        deaf_context = deaf_subscriber(port, "flood")
        await deaf_context.__aenter__()
        await asyncio.sleep(0.2)
        await sender.send(*[publish("flood", bytes(100_000))] * 100, publish("a", packet_id=1))
        await sender.read_until(PUBACK)
        deadline.reschedule(asyncio.get_running_loop().time() + DEADLINE_S)
    with pytest.raises(EOFError):
        await sender.read()
    await deaf_context.__aexit__(None, None, None)
    await sender_context.__aexit__(None, None, None)
    silent[1].close()
    await idle_page.close()
    await busy_page.close()
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() - tasks_before if not task.done()]


async def test_what_was_published_last_arrives_before_it_stops() -> None:
    async with serving(AMQTT) as broker:
        port = port_of(broker.endpoint.url)
        watcher_context = connected(port, "watcher")
        watcher = await watcher_context.__aenter__()
        await watcher.subscribe("state")
        async with connected(port, "sender") as sender:
            await sender.send(publish("state", b"offline", packet_id=1))
            await sender.read_until(PUBACK)
    (last,) = await watcher.read_until_topic("state")
    assert last.payload == b"offline"
    await watcher_context.__aexit__(None, None, None)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n\r\n" * 50, connect("cut")[:-1]])
async def test_a_connection_without_a_whole_connect_is_closed_after_a_while(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.amqtt_engine.CONNECT_S", 0.1)
    async with serving(AMQTT) as broker:
        port = port_of(broker.endpoint.url)
        async with connected(port, "other") as other:
            async with opened(port, said) as stray:
                with pytest.raises(EOFError):
                    await stray.read()
            assert await other.ping() == []


async def test_one_connection_too_many_is_closed_and_the_others_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("broker.amqtt_engine.MAX_CONNECTIONS", 1)
    async with serving(AMQTT) as broker:
        port = port_of(broker.endpoint.url)
        async with connected(port, "first") as first, opened(port, connect("second")) as second:
            with pytest.raises(EOFError):
                await second.read()
            assert await first.ping() == []


@pytest.mark.parametrize("keep_alive_s", [0, 60])
async def test_nothing_is_lost_of_a_burst_before_a_disconnect(keep_alive_s: int) -> None:
    async with serving(AMQTT) as broker:
        port = port_of(broker.endpoint.url)
        async with connected(port, "watcher") as watcher:
            await watcher.subscribe("a")
            async with connected(port, "sender", keep_alive_s=keep_alive_s) as sender:
                burst = [publish("a", packet_id=number) for number in range(1, 501)]
                await sender.send(publish("a") * 1500, *burst, DISCONNECT)
                await sender.read_until_closed()
            await watcher.send(publish("a", b"end"))
            arrived = 0
            while (await watcher.read()).payload != b"end":
                arrived += 1
            assert arrived == 2000


async def test_a_lasting_session_keeps_the_newest_messages_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("broker.amqtt_engine.AWAY_MESSAGES", 3)
    async with serving(AMQTT) as broker:
        port = port_of(broker.endpoint.url)
        async with connected(port, "sender") as sender:
            async with connected(port, "away", clean=False) as away:
                await away.subscribe("a", 1)
                await away.send(DISCONNECT)
                with pytest.raises(EOFError):
                    await away.read()
            await sender.subscribe("done")
            messages = [publish("a", b"%d" % number, packet_id=number) for number in range(1, 7)]
            await sender.send(*messages, publish("done"))
            await sender.read_until_topic("done")
            async with connected(port, "away", clean=False) as away:
                kept = [await away.read() for _ in range(3)]
                assert sorted(message.payload for message in kept) == [b"4", b"5", b"6"]


async def test_the_engine_can_be_started_again_on_the_same_port() -> None:
    async with serving(AMQTT) as broker:
        url = broker.endpoint.url
        async with connected(port_of(url), "one"):
            pass
    async with serving(amqtt(listeners=[url])) as broker:
        assert broker.endpoint.url == url
