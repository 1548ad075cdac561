from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.browser_session import browsing
from tests.real_ends import DEADLINE_S, until
from tests.webui.serving import Web, serving
from webui import roster, server
from webui.hub import HubLimits
from webui.publishing import PublishRate
from webui.wire import MAX_REQUEST_BYTES

KNOWN = ("Invalid UTF-8 sequence received", "Cancel 0 running task(s)")
"""What uvicorn logs as its errors: a client's bad text, and one that doesn't read at a stop."""


@pytest.fixture(autouse=True)
def _nothing_fails_inside(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client does, the server logs no fault of its own."""
    yield
    faults = [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno >= logging.ERROR and not record.getMessage().startswith(KNOWN)
    ]
    assert faults == []


@contextlib.asynccontextmanager
async def conversing(web: Web) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{web.port}/api/ws", max_size=None) as connection:
        yield connection


async def ask(connection: ClientConnection, **frame: object) -> dict[str, Any]:
    await connection.send(json.dumps(frame))
    return await next_frame(connection)


async def next_frame(connection: ClientConnection) -> dict[str, Any]:
    text = await asyncio.wait_for(connection.recv(), DEADLINE_S)
    frame: dict[str, Any] = json.loads(text)
    return frame


async def close_code(connection: ClientConnection) -> int:
    """The code with which the server closes."""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await connection.recv()
    assert connection.close_code is not None
    return connection.close_code


async def test_a_subscription_is_answered_then_a_gap_last_values_and_live_ones() -> None:
    async with serving() as web, conversing(web) as connection:
        web.publish("a", "1", "2", retain=True)
        web.publish("b", b"\xff\x00")
        answer = await ask(connection, op="subscribe", id=1, filters=["#"], since="other-1")
        assert answer == {"op": "subscribed", "id": 1, "epoch": "e1", "seq": 3, "recovered": False}
        assert (await next_frame(connection))["reason"] == "restart"
        last_values = (await next_frame(connection))["messages"]
        time = 1_700_000_000_000
        assert last_values == [
            {"topic": "a", "payload": "2", "time": time, "seq": 2, "retain": True, "last": True},
            {"topic": "b", "payload": "/wA=", "time": time, "seq": 3, "base64": True, "last": True},
        ]
        web.publish("a", "")
        assert (await next_frame(connection))["messages"] == [
            {"topic": "a", "payload": "", "time": time, "seq": 4, "gone": True}
        ]


async def test_since_now_skips_the_last_values() -> None:
    async with serving() as web, conversing(web) as connection:
        web.publish("a", "1")
        await ask(connection, op="subscribe", filters=["#"], since="now")
        web.publish("a", "2")
        assert [each["payload"] for each in (await next_frame(connection))["messages"]] == ["2"]


async def test_a_resume_brings_what_was_missed_and_nothing_else() -> None:
    async with serving() as web:
        web.publish("a", "1", "2")
        async with conversing(web) as connection:
            await ask(connection, op="subscribe", filters=["#"])
            await next_frame(connection)
        web.publish("a", "3", "4")
        async with conversing(web) as connection:
            answer = await ask(connection, op="subscribe", filters=["#"], since="e1-2")
            assert answer["recovered"] is True
            messages = (await next_frame(connection))["messages"]
            assert [each["payload"] for each in messages] == ["3", "4"]


async def test_a_rate_conflates() -> None:
    async with serving() as web, browsing(web.url, "#", max_rate_hz=5) as browser:
        await browser.until(lambda: browser.answers, "subscribed")
        for n in range(500):
            web.publish("a", str(n))
            if n % 50 == 0:
                await asyncio.sleep(0)
        await browser.until(lambda: browser.values.get("a") == "499", "the newest value")
        assert len(browser.messages) <= 5
        assert browser.gaps == []


async def test_a_binary_frame_is_refused_and_the_session_goes_on() -> None:
    async with serving() as web, conversing(web) as connection:
        await connection.send(b'{"op":"ping"}')
        assert (await next_frame(connection))["code"] == "bad_frame"
        assert await ask(connection, op="ping", id=1) == {"op": "pong", "id": 1}


async def test_a_session_too_many_is_told_to_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "MAX_SESSIONS", 1)
    async with serving() as web:
        async with conversing(web) as first, conversing(web) as second:
            assert await close_code(second) == 1013
            assert (await ask(first, op="ping"))["op"] == "pong"
        await until(lambda: len(web.state.roster) == 0, "both are counted out")
        async with conversing(web) as third:
            assert (await ask(third, op="ping"))["op"] == "pong"


async def test_a_session_that_goes_leaves_nothing_behind() -> None:
    async with serving() as web:
        async with conversing(web) as connection:
            await ask(connection, op="subscribe", id=1, filters=["a"])
            await ask(connection, op="subscribe", id=2, filters=["b"])
            assert web.hub.size().channels == 2
        await until(lambda: web.hub.size().channels == 0, "its channels are gone")
        await until(lambda: len(web.state.roster) == 0, "it is counted out")


# --- what no browser does


def masked(first_byte: int, payload: bytes, *, declared: int | None = None) -> bytes:
    """A client's frame, masked with zeros [RFC 6455 5.2]."""
    length = len(payload) if declared is None else declared
    if length < 126:
        head = struct.pack("!BB", first_byte, 0x80 | length)
    elif length < 65_536:
        head = struct.pack("!BBH", first_byte, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first_byte, 0x80 | 127, length)
    return head + bytes(4) + payload


VIOLATIONS = {
    "invalid UTF-8": (masked(0x81, b'{"op":"\xff"}'), 1007),
    "UTF-8 cut at the end": (masked(0x81, "é".encode()[:1]), 1007),
    "invalid UTF-8 in pieces": (masked(0x01, b"\xc3") + masked(0x80, b"\x28"), 1007),
    "one byte too large": (masked(0x81, b"", declared=MAX_REQUEST_BYTES + 1), 1009),
    "too large in pieces": (
        masked(0x01, b"x" * MAX_REQUEST_BYTES) + masked(0x80, b"x"),
        1009,
    ),
    "larger than any memory": (masked(0x81, b"", declared=2**62), 1009),
    "not masked": (b"\x81\x02{}", 1002),
    "a reserved bit": (masked(0xC1, b"{}"), 1002),
    "a reserved opcode": (masked(0x83, b"{}"), 1002),
    "a continuation of nothing": (masked(0x80, b"{}"), 1002),
    "a control frame in pieces": (masked(0x09, b""), 1002),
    "a control frame too long": (masked(0x89, b"x" * 126), 1002),
    "a new message inside another": (masked(0x01, b"{") + masked(0x81, b"}"), 1002),
    "a close frame of one byte": (masked(0x88, b"x"), 1002),
    "a close code that nobody may send": (masked(0x88, struct.pack("!H", 1005)), 1002),
}


@pytest.mark.parametrize(("violation", "code"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
async def test_a_violation_of_websocket_closes_that_session_only(
    violation: bytes, code: int
) -> None:
    async with serving() as web, browsing(web.url, "#") as other:
        async with conversing(web) as connection:
            await ask(connection, op="subscribe", filters=["#"])
            connection.transport.write(violation)
            for n in range(5):
                web.publish("a", str(n))
                await asyncio.sleep(0)
            assert await close_code(connection) == code
        web.publish("a", "after")
        await other.until(lambda: other.values.get("a") == "after", "the other session goes on")
        assert other.gaps == []


def malformed(chance: random.Random) -> str | bytes:
    """Something that a broken or hostile page might send, often much like a frame."""

    def value(depth: int = 0) -> object:
        kinds = [
            None, True, 0, -1, 2**63, 1e308, "", "a", "#", "subscribe", "\ud7ff\x00", "x" * 300,
        ]  # fmt: skip
        if depth < 3 and chance.random() < 0.3:
            inner = [value(depth + 1) for _ in range(chance.randrange(4))]
            return inner if chance.random() < 0.5 else {str(n): v for n, v in enumerate(inner)}
        return chance.choice(kinds)

    match chance.randrange(6):
        case 0:
            return "".join(chr(chance.randrange(1, 0xD800)) for _ in range(chance.randrange(40)))
        case 1:
            return chance.randbytes(chance.randrange(100))
        case 2:
            return json.dumps(value())
        case 3:
            whole = json.dumps({"op": "subscribe", "id": 1, "filters": ["a"], "since": "e1-1"})
            return whole[: chance.randrange(len(whole))]
        case 4:
            return chance.choice("[{") * chance.randrange(1, 5000)
        case _:
            keys = ["op", "id", "filters", "mode", "max_rate_hz", "since", "topic", "payload",
                    "base64", "qos", "retain"]  # fmt: skip
            frame = {key: value() for key in keys if chance.random() < 0.5}
            if chance.random() < 0.8:
                frame["op"] = chance.choice(["subscribe", "unsubscribe", "publish", "ping", "x"])
            return json.dumps(frame)


async def test_a_thousand_malformed_frames_get_documented_answers_and_harm_nobody() -> None:
    chance = random.Random(20_261_121)
    answers: list[dict[str, Any]] = []
    async with serving() as web, browsing(web.url, "live") as other:
        async with conversing(web) as connection:
            for n in range(1000):
                await connection.send(malformed(chance))
                if n % 10 == 0:
                    web.publish("live", str(n))
                    token = 2_000_000 + n
                    await connection.send(json.dumps({"op": "ping", "id": token}))
                    while (frame := await next_frame(connection)) != {"op": "pong", "id": token}:
                        answers.append(frame)
        await other.until(lambda: other.values.get("live") == "990", "all live values")
        assert [message["payload"] for message in other.messages] == [
            str(n) for n in range(0, 1000, 10)
        ]
    assert {frame["code"] for frame in answers if frame["op"] == "error"} <= {
        "bad_frame", "unknown_op", "bad_filter", "bad_topic", "too_large", "too_many",
    }  # fmt: skip
    assert {frame["op"] for frame in answers} <= {
        "error", "pong", "subscribed", "unsubscribed", "published", "messages", "gap",
    }  # fmt: skip
    assert len(answers) > 900


async def test_whoever_hangs_up_during_the_handshake_leaves_no_trace() -> None:
    knocked = asyncio.Event()
    open_door = asyncio.Event()
    left = asyncio.Event()

    def slow_door(app: ASGIApp) -> ASGIApp:
        async def admit(scope: Scope, receive: Receive, send: Send) -> None:
            knocked.set()
            await open_door.wait()
            try:
                await app(scope, receive, send)
            finally:
                left.set()

        return admit

    async with serving(around=slow_door) as web:
        with socket.create_connection(("127.0.0.1", web.port)) as client:
            client.sendall(
                b"GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            await asyncio.wait_for(knocked.wait(), DEADLINE_S)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await asyncio.sleep(0.05)
        open_door.set()
        await asyncio.wait_for(left.wait(), DEADLINE_S)
        assert len(web.state.roster) == 0


# --- a peer that doesn't read


async def test_a_frozen_session_costs_little_and_catches_up_when_it_reads_again() -> None:
    count, size = 20_000, 2000
    limits = HubLimits(log_messages=2000)
    async with serving(limits) as web, browsing(web.url, "#") as reader, conversing(web) as frozen:
        await ask(frozen, op="subscribe", filters=["#"])
        await reader.until(lambda: reader.answers, "subscribed")
        frozen.transport.pause_reading()
        tracemalloc.start()
        for start in range(0, count, 500):
            for n in range(start, start + 500):
                web.publish(f"t/{n % 50}", f"{n} ".ljust(size, "x"))
            await reader.until(
                lambda: [each["seq"] for each in reader.messages[-1:]] == [web.hub.seq],
                "the reader has everything",
            )
            reader.messages[:-1] = []
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert reader.gaps == []
        assert held < 12_000_000, "of 40 MB that went by"
        frozen.transport.resume_reading()
        frames: list[dict[str, Any]] = []
        values: dict[str, str] = {}
        while len(values) < 50 or any(
            int(each.split()[0]) < count - 50 for each in values.values()
        ):
            frame = await next_frame(frozen)
            frames.append(frame)
            for message in frame.get("messages", ()):
                values[message["topic"]] = message["payload"]
        gaps = [frame for frame in frames if frame["op"] == "gap"]
        received = sum(len(frame.get("messages", ())) for frame in frames)
        assert sum(gap["missed"] for gap in gaps) + received == count
        assert gaps


async def test_a_peer_that_asks_and_never_reads_is_heard_no_more_and_leaves_nothing() -> None:
    async with serving() as web:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            deaf.connect(("127.0.0.1", web.port))
            async with connect(f"ws://127.0.0.1:{web.port}/api/ws", sock=deaf) as connection:
                await ask(connection, op="subscribe", filters=["a"])
                transport = connection.transport
                transport.pause_reading()
                transport.write(masked(0x81, b'{"op":"x"}') * 500_000)
                left = [0]
                while len(left) < 4 or len(set(left[-3:])) > 1:
                    await asyncio.sleep(0.3)
                    left.append(transport.get_write_buffer_size())
                assert left[-1] > 0, "all was taken, for whose answers there was no room"
                transport.abort()
        await until(lambda: len(web.state.roster) == 0, "it is gone")
        assert web.hub.size().channels == 0


# --- when we end sessions


async def test_sessions_that_are_ended_under_load_see_the_code_and_come_back() -> None:
    async with serving() as web:
        for _ in range(5):
            async with conversing(web) as connection:
                await ask(connection, op="subscribe", filters=["#"])

                async def chatter(connection: ClientConnection = connection) -> None:
                    with contextlib.suppress(ConnectionClosed):
                        while True:
                            web.publish("a", "x")
                            await connection.send('{"op":"ping"}')
                            await asyncio.sleep(0)

                chattering = asyncio.create_task(chatter())
                await next_frame(connection)
                web.state.end_sessions(4001, "the users have changed")
                assert await close_code(connection) == 4001
                chattering.cancel()
                await asyncio.wait([chattering])
        await until(lambda: len(web.state.roster) == 0, "all are counted out")
        async with browsing(web.url, "#") as browser:
            await browser.until(lambda: browser.values, "last values")


async def test_whoever_is_let_in_just_before_the_users_change_is_ended_too() -> None:
    def changing(app: ASGIApp) -> ASGIApp:
        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            async def change_before(message: Message) -> None:
                if message["type"] == "websocket.accept":
                    web.state.end_sessions(4001, "the users have changed")
                await send(message)

            await app(scope, receive, change_before)

        return serve

    async with serving(around=changing) as web, conversing(web) as connection:
        assert await close_code(connection) == 4001


async def test_only_those_are_ended_who_are_meant() -> None:
    async with serving() as web, conversing(web) as connection:
        await until(lambda: len(web.state.roster) == 1, "it is counted in")
        web.state.end_sessions(4001, "somebody else", whose=lambda identity: identity.user == "ada")
        assert await ask(connection, op="ping", id=7) == {"op": "pong", "id": 7}
        web.state.end_sessions(4001, "you", whose=lambda identity: identity.user is None)
        assert await close_code(connection) == 4001


async def test_a_server_that_stops_tells_its_sessions_so() -> None:
    async with serving() as web:
        reading = await connect(f"ws://127.0.0.1:{web.port}/api/ws")
        frozen = await connect(f"ws://127.0.0.1:{web.port}/api/ws", max_size=None)
        await ask(frozen, op="subscribe", filters=["#"])
        frozen.transport.pause_reading()
        for _ in range(100):
            web.publish("a", "x" * 200_000)
            await asyncio.sleep(0)
    assert await close_code(reading) == 1012
    assert len(web.state.roster) == 0
    frozen.transport.abort()


async def test_a_server_that_stops_sends_its_sessions_away_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "DRAIN_PER_S", 20)
    left: list[int] = []
    async with contextlib.AsyncExitStack() as sessions, serving() as web:
        for _ in range(20):
            await sessions.enter_async_context(conversing(web))
        await until(lambda: len(web.state.roster) == 20, "all are here")
        web.state.roster.on_change(lambda _session, _came: left.append(len(web.state.roster)))
    assert left == list(range(19, -1, -1))
    assert web.state.roster.is_stopping


async def test_whoever_comes_while_the_server_stops_is_told_to_come_back() -> None:
    async with serving() as web:
        web.state.roster.is_stopping = True
        async with conversing(web) as late:
            assert await close_code(late) == 1013
            assert "come back" in (late.close_reason or "")


async def test_who_publishes_faster_than_one_may_gets_an_error_frame() -> None:
    async with serving() as web:
        web.state.rate = PublishRate(per_s=1e-6, burst=1)
        async with conversing(web) as first, conversing(web) as second:
            assert (await ask(first, op="publish", id=1, topic="a"))["op"] == "published"
            answer = await ask(second, op="publish", id=2, topic="a")
            assert (answer["op"], answer["id"], answer["code"]) == ("error", 2, "rate_limited")
            assert len(web.link.published) == 1


async def test_a_websocket_elsewhere_is_refused() -> None:
    async with serving() as web:
        for path in ("/api/topics", "/nowhere", "/"):
            with pytest.raises(Exception, match=r"HTTP 40[34]"):
                await connect(f"ws://127.0.0.1:{web.port}{path}")
