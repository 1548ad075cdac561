"""Logging in and out, over a real port."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from starlette.responses import Response
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from broker.access import Users, parse_users
from tests.real_ends import DEADLINE_S, until
from tests.webui.serving import Web, serving
from webui.close_code import LOGGED_OUT, LOGIN_TOO_OLD
from webui.cookie import MAX_AGE_S, RENEWED_AFTER_S

_HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
HASH, OTHER_HASH = _HASHER.hash("right"), _HASHER.hash("right")
FILE = f"""\
users:
  ada: {{password: "{HASH}", groups: [admin]}}
  wall: {{password: "{HASH}"}}
rules:
  - {{group: admin, allow: [publish, subscribe], topics: ["#"]}}
  - {{user: wall, allow: [subscribe], topics: ["fieldgate/#"]}}
"""
RIGHT = {"user": "ada", "password": "right"}
ADA = {"user": "ada", "groups": ["admin"], "subscribe": ["#"], "publish": ["#"]}
WALL = {"user": "wall", "groups": [], "subscribe": ["fieldgate/#"], "publish": []}


@asynccontextmanager
async def guarded(base_path: str = "") -> AsyncIterator[tuple[Web, Users, httpx.AsyncClient]]:
    """A web server with users, and a client that keeps cookies as a browser does."""
    users = Users(parse_users(FILE))
    try:
        async with (
            serving(users=users, base_path=base_path) as web,
            httpx.AsyncClient(base_url=f"{web.url}{base_path}", timeout=DEADLINE_S) as http,
        ):
            yield web, users, http
    finally:
        users.close()


def error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@asynccontextmanager
async def session(web: Web, http: httpx.AsyncClient) -> AsyncIterator[ClientConnection]:
    """A WebSocket with the cookies of a client."""
    cookies = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
    url = web.url.replace("http", "ws") + http.base_url.path.rstrip("/") + "/api/ws"
    async with connect(url, additional_headers={"Cookie": cookies}) as connection:
        yield connection


async def ask(connection: ClientConnection, **frame: object) -> dict[str, Any]:
    await connection.send(json.dumps(frame))
    answer: dict[str, Any] = json.loads(await asyncio.wait_for(connection.recv(), DEADLINE_S))
    return answer


async def close_code(connection: ClientConnection) -> int | None:
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await connection.recv()
    return connection.close_code


@pytest.mark.parametrize("base_path", ["", "/iot/field"])
async def test_a_right_password_opens_everything_for_that_browser(base_path: str) -> None:
    async with guarded(base_path) as (web, _, http):
        assert error(await http.get("/api/me")) == (401, "unauthorized")
        answer = await http.post("/api/login", json=RIGHT)
        assert (answer.status_code, answer.json()) == (200, ADA)
        assert (await http.get("/api/me")).json() == ADA
        assert (await http.get("/api/topics")).status_code == 200
        assert (await http.post("/api/publish", json={"topic": "a"})).status_code == 202
        async with http.stream("GET", "/api/events?filter=a") as stream:
            assert stream.status_code == 200
        async with session(web, http) as connection:
            answer_frame = await ask(connection, op="subscribe", filters=["#"])
            assert answer_frame["op"] == "subscribed"
        async with httpx.AsyncClient(base_url=http.base_url) as another_browser:
            assert error(await another_browser.get("/api/me")) == (401, "unauthorized")


async def test_a_websocket_that_is_refused_is_no_fault_of_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with guarded() as (web, _, http):
        for _ in range(3):
            with pytest.raises(InvalidStatus, match="401"):
                async with session(web, http):
                    pass
    assert caplog.messages == []


async def test_the_cookie_says_no_more_than_the_rules_do() -> None:
    async with guarded() as (web, _, http):
        answer = await http.post("/api/login", json={"user": "wall", "password": "right"})
        assert answer.json() == WALL
        assert error(await http.get("/api/topics")) == (403, "forbidden")
        assert error(await http.post("/api/publish", json={"topic": "a"})) == (403, "forbidden")
        async with session(web, http) as connection:
            refused = await ask(connection, op="subscribe", filters=["#"])
            assert refused["code"] == "forbidden"
            assert (await ask(connection, op="publish", topic="a"))["code"] == "forbidden"
        assert web.link.published == []


async def test_an_unknown_user_and_a_wrong_password_are_told_the_same() -> None:
    async with guarded() as (_, _, http):
        wrong = await http.post("/api/login", json={"user": "ada", "password": "wrong"})
        unknown = await http.post("/api/login", json={"user": "eve", "password": "right"})
        for answer in (wrong, unknown):
            assert answer.json() == wrong.json()
            assert error(answer) == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == 'Bearer realm="Fieldgate"'
            assert "set-cookie" not in answer.headers


async def test_whoever_guesses_has_to_wait_whichever_way_they_ask() -> None:
    async with guarded() as (_, _, http):
        for number in range(5):
            await http.post("/api/login", json={"user": "ada", "password": str(number)})
            await http.get("/api/me", auth=("ada", f"basic{number}"))
        slowed = await http.post("/api/login", json=RIGHT)
        assert error(slowed) == (429, "rate_limited")
        assert 0 < int(slowed.headers["retry-after"]) <= 30
        wall = {"user": "wall", "password": "right"}
        assert (await http.post("/api/login", json=wall)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"user":1}',
        b"\xff",
        rb'{"user": "ada", "password": "\ud800"}',
        b'{"user": "%b", "password": ""}' % (b"x" * 129),
        b'{"user": "ada", "password": "%b"}' % (b"x" * 1025),
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_a_login_that_is_none_is_refused_without_repeating_it(body: bytes) -> None:
    async with guarded() as (_, _, http):
        headers = {"content-type": "application/json"}
        answer = await http.post("/api/login", content=body, headers=headers)
        assert error(answer) == (400, "bad_request")
        assert answer.json()["error"]["message"] == (
            'the body must be {"user": "…", "password": "…"}'
        )


async def test_no_form_and_no_other_site_can_log_somebody_in() -> None:
    async with guarded() as (_, _, http):
        assert error(await http.post("/api/login", data=RIGHT)) == (400, "bad_request")
        evil = await http.post("/api/login", json=RIGHT, headers={"origin": "http://evil.example"})
        assert error(evil) == (403, "forbidden")
        assert not http.cookies


async def test_without_users_nobody_has_to_log_in() -> None:
    async with serving() as web, httpx.AsyncClient(base_url=web.url) as http:
        answer = await http.post("/api/login", json=RIGHT)
        assert error(answer) == (400, "bad_request")
        assert "no users" in answer.json()["error"]["message"]


async def test_logging_out_ends_this_browser_s_sessions_and_no_others() -> None:
    async with (
        guarded() as (web, _, http),
        httpx.AsyncClient(base_url=web.url) as elsewhere,
    ):
        await http.post("/api/login", json=RIGHT)
        await elsewhere.post("/api/login", json=RIGHT)
        async with session(web, http) as mine, session(web, elsewhere) as theirs:
            await until(lambda: len(web.state.roster) == 2, "both are there")
            answer = await http.post("/api/logout", headers={"content-type": "application/json"})
            assert answer.json() == {"status": "logged out"}
            assert await close_code(mine) == LOGGED_OUT
            assert (await ask(theirs, op="ping", id=1))["op"] == "pong"
        assert not http.cookies
        assert error(await http.get("/api/me")) == (401, "unauthorized")
        assert (await elsewhere.get("/api/me")).json() == ADA


@pytest.mark.parametrize(
    "change",
    [
        FILE.replace("[admin]", "[admin, more]"),
        FILE.replace(HASH, OTHER_HASH),
        FILE.replace("  ada:", "  eve:"),
    ],
)
async def test_a_login_dies_when_password_or_groups_change(change: str) -> None:
    async with guarded() as (_, users, http):
        await http.post("/api/login", json=RIGHT)
        assert (await http.get("/api/me")).status_code == 200
        users.take_up(parse_users(change))
        assert error(await http.get("/api/me")) == (401, "unauthorized")


async def test_a_login_outlives_other_changes_and_has_the_new_rules() -> None:
    async with guarded() as (_, users, http):
        await http.post("/api/login", json={"user": "wall", "password": "right"})
        users.take_up(parse_users(FILE.replace('["fieldgate/#"]', '["other/#"]')))
        assert (await http.get("/api/me")).json() == WALL | {"subscribe": ["other/#"]}


async def test_a_page_that_asks_who_it_is_stays_logged_in() -> None:
    async with guarded() as (web, _, http):
        await http.post("/api/login", json=RIGHT)
        assert "set-cookie" not in (await http.get("/api/me")).headers
        age(web, http, RENEWED_AFTER_S + 1)
        assert f"Max-Age={MAX_AGE_S}" in (await http.get("/api/me")).headers["set-cookie"]
        assert "set-cookie" not in (await http.get("/api/me")).headers
        age(web, http, MAX_AGE_S + 1)
        assert error(await http.get("/api/me")) == (401, "unauthorized")


async def test_a_session_ends_with_its_login_and_may_come_back() -> None:
    async with guarded() as (web, _, http):
        await http.post("/api/login", json=RIGHT)
        age(web, http, MAX_AGE_S - 2)
        async with session(web, http) as connection:
            assert await close_code(connection) == LOGIN_TOO_OLD
        with pytest.raises(InvalidStatus, match="401"):
            async with session(web, http):
                pass


def age(web: Web, http: httpx.AsyncClient, seconds: int) -> None:
    """Put a cookie into the browser that is so much older than the one that it has."""
    keeper = web.state.authenticator.cookie
    header = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
    login = keeper.read(header, 0, secure=False)
    assert login is not None
    response = Response()
    keeper.put(response, replace(login, issued_s=login.issued_s - seconds), secure=False)
    name, _, value = response.headers["set-cookie"].partition(";")[0].partition("=")
    http.cookies.set(name, value, domain="127.0.0.1")
