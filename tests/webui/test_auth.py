from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from argon2 import PasswordHasher
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from broker.access import Action, NoUsers, Tokens, Users, UsersFile, parse_users
from tests.real_ends import until
from tests.webui.serving import KEY
from webui.auth import Doorkeeper
from webui.authenticator import Authenticator
from webui.cookie import LoginCookie
from webui.door import Door, networks
from webui.identity import EVERYBODY, NOBODY, Identity, identity_of

HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("right")
FILE = f"""\
users:
  ada: {{password: "{HASH}", groups: [admin]}}
  wall: {{password: "{HASH}"}}
rules:
  - {{group: admin, allow: [publish, subscribe], topics: ["#"]}}
  - {{user: wall, allow: [subscribe], topics: ["fieldgate/#"]}}
"""
STARRED = FILE + '  - {user: "*", allow: [subscribe], topics: ["public/#"]}\n'


async def who(scope: Scope, receive: Receive, send: Send) -> None:
    """A tiny app: tells whom the doorkeeper let in, and from where."""
    identity = identity_of(scope)
    text = f"{identity.user} {sorted(identity.groups)} {scope['client'][0]} {scope['scheme']}"
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": text})
        await send({"type": "websocket.close"})
        return
    headers = [(b"content-type", b"text/plain")]
    if scope["path"] == "/api/own":
        headers += [(b"Cache-Control", b"max-age=1"), (b"X-Content-Type-Options", b"own")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


@asynccontextmanager
async def guarded(users: Users, door: Door) -> AsyncIterator[str]:
    """A real uvicorn with a doorkeeper before the tiny app; the address as host:port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            Doorkeeper(who, Authenticator(users, Tokens(), LoginCookie(KEY)), door),
            ws="websockets-sansio",
            proxy_headers=False,
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await until(lambda: server.started, "uvicorn serves")
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
            users.close()


def users_in(folder: Path, text: str = FILE) -> Users:
    path = folder / "users.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return UsersFile(path)


LOGIN = Door(anybody=False)
OPEN = Door(anybody=True)


async def raw(address: str, request: str) -> str:
    """What the server answers to the very bytes of a request."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.replace("\n", "\r\n").encode("latin-1"))
    answer = (await reader.read()).decode("latin-1")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer


async def test_without_users_everybody_is_let_in() -> None:
    async with guarded(NoUsers(), OPEN) as address, httpx.AsyncClient() as client:
        answer = await client.get(f"http://{address}/")
        assert answer.text == "None ['admin'] 127.0.0.1 http"
        async with connect(f"ws://{address}/api/ws") as websocket:
            assert await websocket.recv() == "None ['admin'] 127.0.0.1 ws"


async def test_with_users_only_a_right_password_opens(tmp_path: Path) -> None:
    async with guarded(users_in(tmp_path), LOGIN) as address, httpx.AsyncClient() as client:
        url = f"http://{address}/api/topics"
        right = await client.get(url, auth=("ada", "right"))
        assert (right.status_code, right.text) == (200, "ada ['admin'] 127.0.0.1 http")
        for auth in (None, ("ada", "wrong"), ("eve", "right")):
            refused = await client.get(url, auth=auth)
            assert refused.status_code == 401
            assert refused.headers.get_list("www-authenticate") == [
                'Bearer realm="Fieldgate"',
                'Basic realm="Fieldgate", charset="UTF-8"',
            ]
            assert refused.headers["content-type"] == "application/json"
            assert refused.json()["error"]["code"] == "unauthorized"
            assert refused.json()["error"]["message"]
        health = await client.get(f"http://{address}/health/live")
        assert (health.status_code, health.text) == (200, "None [] 127.0.0.1 http")


async def test_a_browser_is_not_made_to_ask_for_a_password_by_itself(tmp_path: Path) -> None:
    agent = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
    async with (
        guarded(users_in(tmp_path), LOGIN) as address,
        httpx.AsyncClient(headers=agent) as client,
    ):
        for auth in (None, ("ada", "wrong")):
            refused = await client.get(f"http://{address}/api/me", auth=auth)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == 'Bearer realm="Fieldgate"'
        with pytest.raises(InvalidStatus) as socket_refused:
            await connect(f"ws://{address}/api/ws", additional_headers=agent).__aenter__()
        challenges = socket_refused.value.response.headers.get_all("WWW-Authenticate")
        assert challenges == ['Bearer realm="Fieldgate"']


async def test_a_websocket_is_refused_with_a_status_and_a_reason(tmp_path: Path) -> None:
    async with guarded(users_in(tmp_path), LOGIN) as address:
        url = f"ws://{address}/api/ws"
        with pytest.raises(InvalidStatus) as refused:
            await connect(url).__aenter__()
        assert refused.value.response.status_code == 401
        challenges = refused.value.response.headers.get_all("WWW-Authenticate")
        assert [challenge.split()[0] for challenge in challenges] == ["Bearer", "Basic"]
        assert b"Log in" in (refused.value.response.body or b"")
        with pytest.raises(InvalidStatus) as wrong:
            await connect(f"ws://ada:wrong@{address}/api/ws").__aenter__()
        assert wrong.value.response.status_code == 401
        async with connect(f"ws://ada:right@{address}/api/ws") as websocket:
            assert await websocket.recv() == "ada ['admin'] 127.0.0.1 ws"


async def test_a_page_of_another_site_gets_no_websocket() -> None:
    async with guarded(NoUsers(), OPEN) as address:
        headers = {"Origin": "http://evil.example"}
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{address}/", additional_headers=headers).__aenter__()
        assert refused.value.response.status_code == 403
        assert b"web.origins" in (refused.value.response.body or b"")
        headers = {"Origin": f"https://{address}"}
        async with connect(f"ws://{address}/", additional_headers=headers) as websocket:
            assert await websocket.recv()


@pytest.mark.parametrize(
    ("lines", "status", "words"),
    [
        ("Host: evil.example", 403, "DNS rebinding"),
        ("Host: {address}\nOrigin: http://evil.example", 403, "web.origins"),
        ("Host: {address}\nOrigin: null", 403, "web.origins"),
        ("Host: {address}\nX-Forwarded-For: 127.0.0.1", 401, "web.trusted_proxies"),
        ("Accept: */*", 400, "Host"),
        ("Host: {address}\nHost: {address}", 400, "Host"),
        ("Host: {address}\nOrigin: http://{address}", 200, "None"),
    ],
)
async def test_odd_headers_on_the_wire_are_judged_too(lines: str, status: int, words: str) -> None:
    async with guarded(NoUsers(), OPEN) as address:
        head = lines.format(address=address)
        answer = await raw(address, f"GET /api/topics HTTP/1.1\n{head}\nConnection: close\n\n")
        assert answer.startswith(f"HTTP/1.1 {status} ")
        assert words in answer


async def test_a_write_that_is_no_json_is_refused() -> None:
    async with guarded(NoUsers(), OPEN) as address, httpx.AsyncClient() as client:
        url = f"http://{address}/api/publish"
        refused = await client.post(url, content=b"{}", headers={"content-type": "text/plain"})
        assert refused.status_code == 400
        assert "application/json" in refused.json()["error"]["message"]
        assert (await client.post(url, json={})).status_code == 200


async def test_many_wrong_passwords_have_to_wait(tmp_path: Path) -> None:
    async with guarded(users_in(tmp_path), LOGIN) as address, httpx.AsyncClient() as client:
        url = f"http://{address}/api/topics"
        for number in range(10):
            assert (await client.get(url, auth=("ada", str(number)))).status_code == 401
        slowed = await client.get(url, auth=("ada", "right"))
        assert slowed.status_code == 429
        assert slowed.json()["error"]["code"] == "rate_limited"
        assert 0 < int(slowed.headers["retry-after"]) <= 30
        assert (await client.get(url, auth=("wall", "right"))).status_code == 200


async def test_logins_that_the_queue_has_no_room_for_are_told_to_come_back(tmp_path: Path) -> None:
    users = users_in(tmp_path)
    async with guarded(users, LOGIN) as address, httpx.AsyncClient() as client:
        users.close()  # the bound of a queue that takes nothing more
        busy = await client.get(f"http://{address}/api/topics", auth=("ada", "right"))
        assert busy.status_code == 503
        assert busy.json()["error"]["code"] == "unavailable"
        assert busy.headers["retry-after"] == "2"


async def test_a_trusted_proxy_says_where_the_client_is(tmp_path: Path) -> None:
    door = Door(anybody=False, trusted_proxies=networks(["127.0.0.1"]))
    async with guarded(users_in(tmp_path), door) as address, httpx.AsyncClient() as client:
        url = f"http://{address}/api/topics"
        proxied = {"x-forwarded-for": "198.51.100.1", "x-forwarded-proto": "https"}
        right = await client.get(url, auth=("wall", "right"), headers=proxied)
        assert right.text == "wall [] 198.51.100.1 https"
        for number in range(10):  # and it is that client who has to wait
            await client.get(url, auth=("wall", str(number)), headers=proxied)
        slowed = await client.get(url, auth=("wall", "right"), headers=proxied)
        assert slowed.status_code == 429
        other = {"x-forwarded-for": "198.51.100.2"}
        assert (await client.get(url, auth=("wall", "right"), headers=other)).status_code == 200


async def test_a_rule_for_everybody_lets_the_anonymous_see_that_much(tmp_path: Path) -> None:
    async with guarded(users_in(tmp_path, STARRED), LOGIN) as address:
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://{address}/api/topics")
        assert answer.text == "None [] 127.0.0.1 http"


async def test_every_answer_has_the_security_headers_unless_it_has_its_own() -> None:
    async with guarded(NoUsers(), OPEN) as address, httpx.AsyncClient() as client:
        page = await client.get(f"http://{address}/")
        refused = await client.get(f"http://{address}/", headers={"origin": "null"})
        for answer in (page, refused):
            policy = answer.headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "same-origin"
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "cache-control" not in page.headers
        api = await client.get(f"http://{address}/api/topics")
        assert api.headers["cache-control"] == "no-store"
        own = await client.get(f"http://{address}/api/own")
        assert own.headers.get_list("cache-control") == ["max-age=1"]
        assert own.headers.get_list("x-content-type-options") == ["own"]


def test_an_identity_may_what_the_rules_say() -> None:
    policy = parse_users(STARRED).policy
    wall = Identity("wall", frozenset(), policy)
    assert wall.may_subscribe("fieldgate/#")
    assert wall.may_subscribe("public/x")
    assert not wall.may_subscribe("#")
    assert not wall.may_publish("fieldgate/boiler/set")
    assert wall.filters(Action.SUBSCRIBE) == ("fieldgate/#", "public/#")
    assert wall.filters(Action.PUBLISH) == ()
    assert not wall.may_administer()
    ada = Identity("ada", frozenset({"admin"}), policy)
    assert ada.may_publish("fieldgate/boiler/set")
    assert ada.may_administer()


def test_everybody_may_all_and_nobody_nothing() -> None:
    assert EVERYBODY.may_publish("a")
    assert EVERYBODY.may_subscribe("#")
    assert EVERYBODY.may_administer()
    assert not NOBODY.may_publish("a")
    assert not NOBODY.may_subscribe("a")
    assert not NOBODY.may_administer()


async def test_a_server_without_refusal_bodies_closes_the_handshake() -> None:
    sent = await spoken_to({"type": "websocket", "path": "/", "headers": [], "client": None})
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_what_is_neither_http_nor_websocket_passes() -> None:
    passed: list[str] = []
    await spoken_to({"type": "lifespan"}, passed.append)
    assert passed == ["lifespan"]


async def spoken_to(
    scope: Scope, passes: Callable[[str], object] = lambda _: None
) -> list[dict[str, object]]:
    """What a doorkeeper of the open door sends in a scope that no server of ours would make."""
    sent: list[dict[str, object]] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        passes(scope["type"])

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    await Doorkeeper(app, Authenticator(NoUsers(), Tokens(), LoginCookie(KEY)), OPEN)(
        scope, receive, send
    )
    return sent
