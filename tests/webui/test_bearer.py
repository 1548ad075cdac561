"""Programs that show a token, over a real port."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from argon2 import PasswordHasher
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from broker.access import Accounts, Token, Tokens, Users, parse_users
from broker.token import digest_of
from tests.real_ends import DEADLINE_S, until
from tests.webui.serving import Web, serving
from tests.webui.test_login import ask, close_code, error
from webui.close_code import TOKEN_ENDED
from webui.presence import PresenceTeller

HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("right")
USERS = f"""\
users: {{ada: {{password: "{HASH}", groups: [admin]}}}}
rules: [{{group: admin, allow: [publish, subscribe], topics: ["#"]}}]
"""
BENCH = Token("bench", digest_of("s3cret"), ("fieldgate/#",), ("lamp/+/set",), 0, None)
SHOWN = {"Authorization": "Bearer s3cret"}


@asynccontextmanager
async def guarded(*tokens: Token) -> AsyncIterator[tuple[Web, Tokens, httpx.AsyncClient]]:
    """A web server with users, tokens in force, and a program that shows one."""
    users, in_force = Users(parse_users(USERS)), Tokens(tokens or [BENCH])
    try:
        async with (
            serving(users=users, tokens=in_force) as web,
            httpx.AsyncClient(base_url=web.url, timeout=DEADLINE_S, headers=SHOWN) as http,
        ):
            yield web, in_force, http
    finally:
        users.close()


@asynccontextmanager
async def session(web: Web) -> AsyncIterator[ClientConnection]:
    url = web.url.replace("http", "ws") + "/api/ws"
    async with connect(url, additional_headers=SHOWN) as connection:
        yield connection


async def test_a_token_may_what_its_filters_say_and_no_more() -> None:
    async with guarded() as (web, _, http):
        assert (await http.get("/api/me")).json() == {
            "user": None,
            "groups": [],
            "subscribe": ["fieldgate/#"],
            "publish": ["lamp/+/set"],
            "token": "bench",
        }
        assert (await http.get("/api/topics?filter=fieldgate/%23")).status_code == 200
        assert error(await http.get("/api/topics")) == (403, "forbidden")
        assert error(await http.get("/api/sessions")) == (403, "forbidden")
        assert (await http.post("/api/publish", json={"topic": "lamp/a/set"})).status_code == 202
        refused = await http.post("/api/publish", json={"topic": "fieldgate/x"})
        assert error(refused) == (403, "forbidden")
        assert "token bench may not publish" in refused.json()["error"]["message"]
        async with http.stream("GET", "/api/events?filter=fieldgate/a") as stream:
            assert stream.status_code == 200
        async with session(web) as connection:
            granted = await ask(connection, op="subscribe", id=1, filters=["fieldgate/+"])
            assert granted["op"] == "subscribed"
            refused_frame = await ask(connection, op="subscribe", id=2, filters=["#"])
            assert refused_frame["code"] == "forbidden"
        assert [message.topic for message in web.link.published] == ["lamp/a/set"]
        web.state.audit.tell(web.link)
        assert b'"user":null,"token":"bench"' in web.link.published[-1].payload


@pytest.mark.parametrize("shown", ["Bearer wrong", "Bearer", "bearer", "Bearer s3cret s3cret"])
async def test_a_wrong_token_is_refused(shown: str) -> None:
    async with guarded() as (_, _, http):
        refused = await http.get("/api/me", headers={"Authorization": shown})
        assert error(refused) == (401, "unauthorized")
        assert "revoked or has ended" in refused.json()["error"]["message"]


async def test_a_token_in_a_url_counts_for_nothing() -> None:
    async with guarded() as (_, _, http):
        del http.headers["Authorization"]
        for query in ("token=s3cret", "access_token=s3cret", "authorization=Bearer%20s3cret"):
            assert error(await http.get(f"/api/me?{query}")) == (401, "unauthorized")


async def test_who_tries_tokens_has_to_wait_and_a_right_one_still_opens() -> None:
    async with guarded() as (_, _, http):
        for number in range(10):
            await http.get("/api/me", headers={"Authorization": f"Bearer {number}"})
        slowed = await http.get("/api/me", headers={"Authorization": "Bearer 11"})
        assert error(slowed) == (429, "rate_limited")
        assert int(slowed.headers["retry-after"]) > 0
        assert (await http.get("/api/me")).status_code == 200


async def test_a_token_needs_no_host_of_this_machine_but_is_of_no_use_to_other_sites() -> None:
    async with guarded() as (_, _, http):
        assert (await http.get("/api/me", headers={"Host": "gate.example"})).status_code == 200
        evil = await http.get("/api/me", headers={"Origin": "http://evil.example"})
        assert error(evil) == (403, "forbidden")


async def test_admins_and_mqtt_are_told_which_token_a_session_has() -> None:
    async with guarded() as (web, _, http), session(web):
        teller = PresenceTeller("fieldgate", "n1", web.state.roster)
        async with session(web):
            teller.tick(web.link, link_ups=1, held=None)
        answer = await http.get("/api/sessions", auth=("ada", "right"))
        assert [(each["user"], each["token"]) for each in answer.json()["sessions"]] == [
            (None, "bench")
        ]
        assert b'"user":null,"token":"bench","transport":"websocket"' in b"".join(
            each.payload for each in web.link.published
        )


async def test_sessions_are_closed_when_their_token_is_revoked_and_others_stay() -> None:
    other = replace(BENCH, name="other", digest=digest_of("other"))
    async with guarded(BENCH, other) as (web, tokens, http), session(web) as connection:
        web.state.watch_access()
        async with http.stream(
            "GET", "/api/events?filter=fieldgate/a", headers={"Authorization": "Bearer other"}
        ) as stream:
            await until(lambda: len(web.state.roster) == 2, "both are there")
            tokens.take_up([other])
            assert await close_code(connection) == TOKEN_ENDED
            await until(lambda: len(web.state.roster) == 1, "one has gone")
            assert not stream.is_closed
        with pytest.raises(InvalidStatus, match="401"):
            async with session(web):
                pass


@pytest.mark.parametrize(
    "shown", [SHOWN, {"Authorization": "Basic YWRhOnJpZ2h0"}], ids=["token", "user"]
)
async def test_what_was_begun_before_a_change_and_is_said_after_it_is_not_published(
    shown: dict[str, str],
) -> None:
    users, tokens = Users(parse_users(USERS)), Tokens([BENCH])

    def around(app: ASGIApp) -> ASGIApp:
        async def changing(scope: Scope, receive: Receive, send: Send) -> None:
            async def body() -> Message:
                users.take_up(Accounts(policy=parse_users(USERS).policy))
                tokens.take_up([])
                return await receive()

            await app(scope, body, send)

        return changing

    async with (
        serving(users=users, tokens=tokens, around=around) as web,
        httpx.AsyncClient(base_url=web.url, timeout=DEADLINE_S, headers=shown) as http,
    ):
        answer = await http.post("/api/publish", json={"topic": "lamp/a/set"})
        assert error(answer) == (503, "unavailable")
        assert web.link.published == []
    users.close()


async def test_a_session_is_closed_when_its_token_ends() -> None:
    async with guarded(replace(BENCH, expires_s=time.time() + 1)) as (web, _, http):
        async with session(web) as connection:
            assert await close_code(connection) == TOKEN_ENDED
        assert error(await http.get("/api/me")) == (401, "unauthorized")
