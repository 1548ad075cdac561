"""Clients that vanish without a word, or merely stop reading, are let go of within 45 s.

The real times add up to too much for a test, so the sum is checked and the mechanism is run with
shorter ones. (With the real ones, in another network namespace whose packets are dropped: 43 s.)
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from broker import listen
from tests.real_ends import until
from tests.webui.serving import Web, serving
from webui import server, stream

PROMISED_S = 45


def test_the_times_add_up_to_what_is_promised() -> None:
    given_up_s = listen.USER_TIMEOUT_MS / 1000
    assert stream.HEARTBEAT_S + given_up_s < PROMISED_S, "a quiet stream"
    assert server.PING_S + server.PING_TIMEOUT_S < PROMISED_S, "a quiet WebSocket"
    asked_s = listen.KEEP_ALIVE_IDLE_S + listen.KEEP_ALIVE_INTERVAL_S
    assert max(asked_s, given_up_s) < PROMISED_S, "a quiet tail, which has no heartbeat"


HANDSHAKE = (
    b"GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
SUBSCRIBE = b'{"op":"subscribe","filters":["a"]}'


@contextlib.asynccontextmanager
async def frozen(web: Web, kind: str) -> AsyncIterator[None]:
    """A client that asks for messages and never reads one."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with client:
        client.connect(("127.0.0.1", web.port))
        if kind == "websocket":
            client.sendall(HANDSHAKE)
            await until(lambda: len(web.state.roster) == 1, "it is here")
            client.sendall(bytes([0x81, 0x80 | len(SUBSCRIBE)]) + bytes(4) + SUBSCRIBE)
        else:
            client.sendall(b"GET /api/%b?filter=a HTTP/1.1\r\n" % kind.encode())
            client.sendall(b"Host: 127.0.0.1\r\n\r\n")
        await until(lambda: web.hub.size().channels == 1, "it watches")
        yield


@pytest.mark.parametrize("kind", ["websocket", "events", "tail"])
async def test_whoever_stops_reading_is_let_go_of(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "USER_TIMEOUT_MS", 1000)
    async with serving() as web, frozen(web, kind):
        for _ in range(200):
            web.publish("a", "x" * 200_000)
            await asyncio.sleep(0)
        await until(lambda: len(web.state.roster) == 0, "it is counted out")
        assert web.hub.size().channels == 0


async def test_a_websocket_that_answers_no_ping_is_let_go_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "PING_S", 0.2)
    monkeypatch.setattr(server, "PING_TIMEOUT_S", 0.2)
    async with serving() as web, frozen(web, "websocket"):
        await until(lambda: len(web.state.roster) == 0, "it is counted out")
        assert web.hub.size().channels == 0
