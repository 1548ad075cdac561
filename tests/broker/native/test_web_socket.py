from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.broker.native.listening import Listening, listening
from tests.mqtt_packets import DISCONNECT, connect, connected, packet, publish, subscribe
from tests.real_ends import DEADLINE_S, until

CONNACK = b"\x20\x02\x00\x00"
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
MQTT = [Subprotocol("mqtt")]

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)

STARRED = """
users: {}
rules:
  - {user: "*", allow: [publish, subscribe], topics: ["#"]}
"""


@asynccontextmanager
async def page(broker: Listening, **options: Any) -> AsyncIterator[ClientConnection]:
    options = {"subprotocols": MQTT, "proxy": None, **options}
    async with asyncio.timeout(DEADLINE_S), websocket(broker.urls[0], **options) as client:
        yield client


async def status_of(broker: Listening, url: str = "", **options: Any) -> tuple[int, str]:
    """The status and words with which a handshake is refused."""
    options = {"subprotocols": MQTT, "proxy": None, **options}
    with pytest.raises(InvalidStatus) as caught:
        await websocket(url or broker.urls[0], **options)
    response = caught.value.response
    return response.status_code, (response.body or b"").decode()


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
async def test_paho_publishes_and_subscribes_over_websocket(
    scheme: str, version: MQTTProtocolVersion, certificates: Path
) -> None:
    async with listening(scheme, certificates=certificates) as broker:
        heard: list[bytes] = []
        client = paho.Client(CallbackAPIVersion.VERSION2, transport="websockets", protocol=version)

        def subscribe_all(*_: object) -> None:
            client.subscribe("a/#", 1)

        def publish_one(*_: object) -> None:
            client.publish("a/b", bytes(400_000), 1)

        client.on_connect, client.on_subscribe = subscribe_all, publish_one
        client.on_message = lambda _client, _user, message: heard.append(bytes(message.payload))
        if scheme == "wss":
            client.tls_set(str(certificates / "ca.pem"))
        await asyncio.to_thread(client.connect, "127.0.0.1", broker.ports[0])
        client.loop_start()
        await until(lambda: heard, "what was published comes back")
        await asyncio.to_thread(client.disconnect)
        await asyncio.to_thread(client.loop_stop)
        assert heard == [bytes(400_000)]


async def test_frames_may_cut_and_join_packets_at_will() -> None:
    async with listening("ws") as broker, page(broker) as client:
        assert client.subprotocol == "mqtt"
        said = connect("page") + subscribe("a") + publish("a", b"hello") + PINGREQ
        for at in range(len(said)):
            await client.send(said[at : at + 1])
        answer = b""
        wanted = CONNACK + b"\x90\x03\x00\x01\x00" + publish("a", b"hello") + PINGRESP
        while len(answer) < len(wanted):
            frame = await client.recv()
            assert isinstance(frame, bytes)
            answer += frame
        assert answer == wanted
        await client.send([publish("a", b"in ")[:4], publish("a", b"in ")[4:] + PINGREQ])
        answer = b""
        while not answer.endswith(PINGRESP):
            answer += await client.recv(decode=False)
        assert answer == publish("a", b"in ") + PINGRESP


async def test_a_large_frame_and_small_ones_of_others_come_through() -> None:
    async with (
        listening("ws", "mqtt") as broker,
        page(broker) as client,
        connected(broker.ports[1], "other") as other,
    ):
        await other.subscribe("big")
        await client.send(connect("page") + publish("big", bytes(400_000)) * 3)
        for _ in range(3):
            assert len((await other.read()).payload) == 400_000


async def test_whoever_says_goodbye_first_the_other_answers() -> None:
    async with listening("ws") as broker:
        async with page(broker) as client:
            await client.send(connect("page"))
            assert await client.recv() == CONNACK
            await client.send(DISCONNECT)
            await client.wait_closed()
            assert client.close_code == 1000
        async with page(broker) as client:
            await client.send(connect("page"))
            await client.close(1001)
            assert client.close_code == 1001
        await until(lambda: not broker.counters.open, "both are gone")


async def test_a_text_frame_ends_the_connection() -> None:
    async with listening("ws") as broker, page(broker) as client:
        await client.send("CONNECT")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1003


async def test_a_message_larger_than_any_packet_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("broker.native.engine.MAX_PACKET_BYTES", 10_000)
    async with listening("ws") as broker, page(broker) as client:
        await client.send(bytes(10_001))
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1009


async def test_what_breaks_the_rules_of_websocket_ends_the_connection() -> None:
    async with listening("ws") as broker, page(broker) as client:
        client.transport.write(b"\x82\x01x")  # not masked
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1002


async def test_a_wrong_packet_ends_the_connection_after_its_answer() -> None:
    async with listening("ws") as broker, page(broker) as client:
        await client.send(connect("page") + packet(0xF0))
        assert await client.recv() == CONNACK
        await client.wait_closed()
        assert client.close_code == 1000


async def test_pings_are_answered_and_extensions_declined() -> None:
    async with listening("ws") as broker, page(broker, compression="deflate") as client:
        assert not client.protocol.extensions
        await (await client.ping())


@pytest.mark.parametrize("subprotocols", [["mqttv3.1"], ["chat", "mqtt"]])
async def test_clients_may_ask_for_mqtt_by_either_name(subprotocols: list[str]) -> None:
    names = [Subprotocol(each) for each in subprotocols]
    async with listening("ws") as broker, page(broker, subprotocols=names) as client:
        assert client.subprotocol == subprotocols[-1]


async def test_whoever_does_not_ask_for_mqtt_is_refused() -> None:
    async with listening("ws") as broker:
        assert (await status_of(broker, subprotocols=None))[0] == 400
        assert (await status_of(broker, subprotocols=[Subprotocol("chat")]))[0] == 400


async def test_any_path_is_served_unless_the_url_names_one() -> None:
    async with listening("ws") as broker:
        for path in ("", "mqtt", "any/where?at=all"):
            async with websocket(f"{broker.urls[0]}/{path}", subprotocols=MQTT, proxy=None):
                pass
    async with listening("ws/mqtt") as broker:
        assert broker.urls[0].endswith("/mqtt")
        async with websocket(broker.urls[0] + "?x", subprotocols=MQTT, proxy=None):
            pass
        status, text = await status_of(broker, broker.urls[0] + "x")
        assert (status, text) == (404, "MQTT is at /mqtt\n")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://elsewhere.example", "127.0.0.1"),
        (None, "rebound.example"),
        ("https://rebound.example", "rebound.example"),
    ],
)
async def test_a_page_of_another_site_is_refused(origin: str | None, host: str) -> None:
    async with listening("ws") as broker:
        url = f"ws://{host}:{broker.ports[0]}/"
        asked = Origin(origin) if origin else None
        assert (await status_of(broker, url, host="127.0.0.1", origin=asked))[0] == 403


async def test_a_page_of_a_named_site_or_of_our_own_is_let_in() -> None:
    async with listening("ws", origins=["https://panel.example"]) as broker:
        for origin in ("https://panel.example", f"http://127.0.0.1:{broker.ports[0]}"):
            async with page(broker, origin=Origin(origin)) as client:
                await client.send(connect("page"))
                assert await client.recv() == CONNACK


async def test_nobody_is_anonymous_through_a_proxy_or_under_another_name() -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.1"}
    async with listening("ws") as broker:
        status, text = await status_of(broker, additional_headers=forwarded)
        assert status == 401
        assert "proxy" in text
    async with listening("ws", users=STARRED) as broker:
        async with page(broker) as client:
            await client.send(connect("page"))
            assert await client.recv() == CONNACK
        async with page(broker, additional_headers=forwarded) as client:
            await client.send(connect("page"))
            assert await client.recv() == b"\x20\x02\x00\x05"
        other_name = f"ws://broker.example:{broker.ports[0]}/"
        options: dict[str, Any] = {"host": "127.0.0.1", "subprotocols": MQTT, "proxy": None}
        async with websocket(other_name, **options) as client:
            await client.send(connect("page"))
            assert await client.recv() == b"\x20\x02\x00\x05"


@pytest.mark.parametrize(
    "said",
    [
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /" + bytes(100_000) + b"\r\n",
        HANDSHAKE.replace(b"Key: dGhl", b"Key: dG\xdael"),
        HANDSHAKE.replace(b"Version: 13", b"Version: 1\xda"),
        HANDSHAKE.replace(b"Upgrade: web", b"Upgrade: w\xdab"),
        HANDSHAKE.replace(b"Host: 127", b"Host: \xda27"),
    ],
)
async def test_junk_instead_of_a_handshake_is_answered_and_closed(said: bytes) -> None:
    async with listening("ws", "mqtt") as broker:
        async with connected(broker.ports[1], "other") as other:
            reader, writer = await asyncio.open_connection("127.0.0.1", broker.ports[0])
            writer.write(said)
            async with asyncio.timeout(DEADLINE_S):
                assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            writer.close()
            assert await other.ping() == []
        await until(lambda: not broker.counters.open, "nothing is left")


@pytest.mark.parametrize("path", [b"//[", b"/?\xff", b"http://[x"])
async def test_a_path_is_taken_as_it_is(path: bytes) -> None:
    async with listening("ws", "ws/mqtt") as broker:
        for port, status in zip(broker.ports, (b"101", b"404"), strict=True):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HANDSHAKE.replace(b"/ HTTP", path + b" HTTP"))
            async with asyncio.timeout(DEADLINE_S):
                assert (await reader.read(20)).startswith(b"HTTP/1.1 " + status)
            writer.transport.abort()
        await until(lambda: not broker.counters.open, "nothing is left")


async def test_junk_right_behind_a_handshake_ends_the_connection() -> None:
    async with listening("ws") as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.ports[0])
        writer.write(HANDSHAKE + b"junk")
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b""
        writer.close()
        await until(lambda: not broker.counters.open, "nothing is left")


async def test_a_handshake_that_never_ends_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.native.connection.CONNECT_S", 0.1)
    async with listening("ws") as broker:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.ports[0])
        writer.write(b"GET / HTTP/1.1\r\n")
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b""
        writer.close()
        async with page(broker) as client:
            with pytest.raises(ConnectionClosed):
                await client.recv()
        assert broker.counters.unfinished_connects == 2


async def test_a_flood_of_tiny_frames_lets_others_have_their_turn() -> None:
    ping = b"\x89\x80\0\0\0\0"
    async with (
        listening("ws", "mqtt") as broker,
        page(broker) as client,
        connected(broker.ports[1], "other") as other,
    ):
        await client.send(connect("page"))
        assert await client.recv() == CONNACK
        client.transport.write(ping * 70_000)
        answered = asyncio.create_task(_after(client))
        for _ in range(3):
            assert await other.ping() == []
        assert not answered.done()
        await answered


async def _after(client: ClientConnection) -> None:
    """When all that was sent is worked off."""
    await client.send(PINGREQ)
    assert await client.recv() == PINGRESP


async def test_pongs_that_nobody_reads_cost_bounded_memory() -> None:
    ping = b"\x89\xfd\0\0\0\0" + bytes(125)
    async with listening("ws") as broker, page(broker) as client:
        client.transport.pause_reading()
        client.transport.write(ping * 300_000)
        unread = 0
        while unread != client.transport.get_write_buffer_size():  # until the broker reads no more
            unread = client.transport.get_write_buffer_size()
            await asyncio.sleep(0.5)
        assert unread > 20 * 1024 * 1024
        client.transport.abort()
        await until(lambda: not broker.counters.open, "it is gone")
