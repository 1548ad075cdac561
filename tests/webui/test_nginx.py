"""The relay behind Debian's nginx, with the buffering that it comes with."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.real_ends import DEADLINE_S, until
from tests.webui.nginx import WEBSOCKET, nginx
from tests.webui.serving import serving
from tests.webui.test_sse import Stream
from tests.webui.test_tail import Tail

BASE = "/fieldgate"
PROXIES = ["127.0.0.1"]


async def test_events_come_at_once_and_not_when_a_buffer_is_full(tmp_path: Path) -> None:
    async with serving(base_path=BASE, trusted_proxies=PROXIES) as web:
        web.publish("a", "1")
        with nginx(tmp_path, web.port, BASE) as url:
            async with (
                httpx.AsyncClient(base_url=url + BASE, timeout=DEADLINE_S) as http,
                http.stream("GET", "/api/events?filter=a") as response,
            ):
                stream = Stream(response)
                assert await stream.until_text("\n\n")
                assert stream.text.startswith(":\nretry: 3000\n\n")
                assert (await stream.event())["data"]["payload"] == "1"
                for payload in ("2", "3"):
                    web.publish("a", payload)
                    assert (await stream.event())["data"]["payload"] == payload
                headers = response.headers
                assert headers["content-type"] == "text/event-stream; charset=utf-8"
            await until(lambda: len(web.state.roster) == 0, "nginx tells that the client is gone")


async def test_a_cut_stream_resumes_where_it_was_cut(tmp_path: Path) -> None:
    async with serving(base_path=BASE, trusted_proxies=PROXIES) as web:
        web.publish("a", "1", "2", "3")
        with nginx(tmp_path, web.port, BASE) as url:
            async with (
                httpx.AsyncClient(base_url=url + BASE, timeout=DEADLINE_S) as http,
                http.stream(
                    "GET", "/api/events?filter=a", headers={"Last-Event-ID": "e1-1"}
                ) as response,
            ):
                stream = Stream(response)
                payloads = [(await stream.event())["data"]["payload"] for _ in range(2)]
        assert payloads == ["2", "3"]


async def test_a_quiet_stream_outlives_the_time_out_of_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.stream.HEARTBEAT_S", 0.2)
    async with serving(base_path=BASE, trusted_proxies=PROXIES) as web:
        with nginx(tmp_path, web.port, BASE, "proxy_read_timeout 1s;") as url:
            async with (
                httpx.AsyncClient(base_url=url + BASE, timeout=DEADLINE_S) as http,
                http.stream("GET", "/api/events?filter=a") as response,
            ):
                stream = Stream(response)
                await stream.until_text("\n\n" + ":\n\n" * 10)
                web.publish("a", "still here")
                assert (await stream.event())["data"]["payload"] == "still here"


@pytest.mark.parametrize("kind", ["events", "tail"])
async def test_whoever_does_not_read_holds_back_us_and_does_not_fill_the_disk_of_the_proxy(
    tmp_path: Path, kind: str
) -> None:
    async with serving(base_path=BASE, trusted_proxies=PROXIES) as web:
        with nginx(tmp_path, web.port, BASE) as url, socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            client.sendall(f"GET {BASE}/api/{kind}?filter=a HTTP/1.1\r\n".encode())
            client.sendall(f"Host: {url.removeprefix('http://')}\r\n\r\n".encode())
            await until(lambda: web.hub.size().channels == 1, "it watches")
            for _ in range(300):
                web.publish("a", "x" * 200_000)
                await asyncio.sleep(0)
            before = -1
            while before < web.hub.counts.bytes_out:
                before = web.hub.counts.bytes_out
                await asyncio.sleep(0.5)
            assert before < web.hub.bytes_in / 2
        await until(lambda: len(web.state.roster) == 0, "it is gone")


async def test_a_tail_comes_line_by_line(tmp_path: Path) -> None:
    async with serving(base_path=BASE, trusted_proxies=PROXIES) as web:
        web.publish("a", "1")
        with nginx(tmp_path, web.port, BASE) as url:
            async with (
                httpx.AsyncClient(base_url=url + BASE, timeout=DEADLINE_S) as http,
                http.stream("GET", "/api/tail?filter=a") as response,
            ):
                tail = Tail(response)
                await tail.until(b"a 1\n")
                web.publish("a", "2")
                assert await tail.until(b"a 2\n") == b"a 1\na 2\n"


async def test_a_websocket_goes_through_and_its_client_is_known_by_its_own_address(
    tmp_path: Path,
) -> None:
    async with serving(base_path=BASE, trusted_proxies=PROXIES) as web:
        with nginx(tmp_path, web.port, BASE, WEBSOCKET) as url:
            socket_url = url.replace("http", "ws") + BASE + "/api/ws"
            came_from = {"X-Forwarded-For": "203.0.113.7"}
            async with connect(socket_url, additional_headers=came_from) as connection:
                await connection.send('{"op":"subscribe","filters":["a"]}')
                answer = json.loads(await asyncio.wait_for(connection.recv(), DEADLINE_S))
                assert answer["op"] == "subscribed"
                web.publish("a", "1")
                frame = json.loads(await asyncio.wait_for(connection.recv(), DEADLINE_S))
                assert frame["messages"][0]["payload"] == "1"
                async with httpx.AsyncClient(base_url=url + BASE) as http:
                    (session,) = (await http.get("/api/sessions")).json()["sessions"]
                assert session["address"] == "203.0.113.7"
            await until(lambda: len(web.state.roster) == 0, "it is gone here, too")


async def test_a_proxy_that_is_not_trusted_lets_nobody_in_unnamed(tmp_path: Path) -> None:
    async with serving(base_path=BASE) as web:
        with nginx(tmp_path, web.port, BASE) as url:
            async with httpx.AsyncClient(base_url=url + BASE) as http:
                refused = await http.get("/api/topics")
                assert refused.status_code == 401
                assert "web.trusted_proxies" in refused.json()["error"]["message"]
                assert (await http.get("/health/live")).status_code == 200


async def test_the_page_of_another_site_gets_nothing_through_a_proxy_either(
    tmp_path: Path,
) -> None:
    async with serving(base_path=BASE, trusted_proxies=PROXIES) as web:
        with nginx(tmp_path, web.port, BASE) as url:
            async with httpx.AsyncClient(base_url=url + BASE) as http:
                own = await http.get("/api/topics", headers={"Origin": url})
                other = await http.get("/api/topics", headers={"Origin": "https://evil.example"})
        assert (own.status_code, other.status_code) == (200, 403)
