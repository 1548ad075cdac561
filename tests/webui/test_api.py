from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from starlette.applications import Starlette

from broker.access import Users, parse_users
from broker.errors import LinkAwayError, LinkFullError
from broker.link import Message, QoS
from tests.real_ends import DEADLINE_S
from tests.webui.serving import Web, serving
from webui.page import page_route
from webui.publishing import PublishRate
from webui.wire import MAX_REQUEST_BYTES

HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("right")


@pytest.fixture(autouse=True)
def _nothing_fails_inside(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    faults = [each for each in caplog.get_records("call") if each.levelno >= logging.ERROR]
    assert [fault.getMessage() for fault in faults] == []


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with serving() as web:
        yield web


@pytest.fixture
async def http(web: Web) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=web.url, timeout=DEADLINE_S) as client:
        yield client


@pytest.fixture(scope="module")
async def idle() -> AsyncIterator[Web]:
    """One server for all who only ask for what is refused."""
    async with serving() as web:
        yield web


@pytest.fixture
async def refusing(idle: Web) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=idle.url, timeout=DEADLINE_S) as client:
        yield client
    assert idle.link.published == []


def error(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = response.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"code", "message"}
    return response.status_code, body["error"]["code"]


# --- /api/topics


async def test_topics_are_the_last_values_by_seq(web: Web, http: httpx.AsyncClient) -> None:
    web.publish("a/1", "x", "y", retain=True)
    web.publish("a/2", b"\xff")
    web.publish("b", "z")
    web.publish("gone", "1", "")
    response = await http.get("/api/topics", params={"filter": "a/+"})
    time = 1_700_000_000_000
    assert response.json() == {
        "epoch": "e1",
        "seq": 6,
        "topics": [
            {"topic": "a/1", "payload": "y", "time": time, "seq": 2, "retain": True, "last": True},
            {"topic": "a/2", "payload": "/w==", "time": time, "seq": 3, "base64": True,
             "last": True},
        ],
        "next": None,
    }  # fmt: skip
    assert response.headers["cache-control"] == "no-store"


async def test_pages_of_topics_lead_to_the_end_and_miss_none(
    web: Web, http: httpx.AsyncClient
) -> None:
    for n in range(10):
        web.publish(f"t/{n}", "1")
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = (await http.get("/api/topics", params={"limit": 3, "after": after})).json()
        assert len(page["topics"]) <= 3
        seen += [each["topic"] for each in page["topics"]]
        after = page["next"]
        web.publish("t/0", "again")
    assert set(seen) == {f"t/{n}" for n in range(10)}
    assert len(seen) <= 14


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "bad_request"),
        ("limit=10001", "bad_request"),
        ("limit=many", "bad_request"),
        ("after=-1", "bad_request"),
        ("after=1.5", "bad_request"),
        ("after=null", "bad_request"),
        ("after=" + "9" * 400, None),
        ("filter=", "bad_filter"),
        ("filter=a%23", "bad_filter"),
        ("filter=%00", "bad_filter"),
        ("filter=%ff", None),
        ("unknown=1", None),
    ],
)
async def test_a_query_that_cannot_be_used_is_refused(
    refusing: httpx.AsyncClient, query: str, code: str | None
) -> None:
    response = await refusing.get(f"/api/topics?{query}")
    if code is None:
        assert response.status_code == 200
    else:
        assert error(response) == (400, code)


# --- /api/publish


async def test_publish_hands_over_to_the_link(web: Web, http: httpx.AsyncClient) -> None:
    body = {"topic": "a/set", "payload": "on", "qos": 1, "retain": True}
    response = await http.post("/api/publish", json=body)
    assert (response.status_code, response.json()) == (202, {"status": "accepted"})
    payload = base64.b64encode(b"\xff").decode()
    await http.post("/api/publish", json={"topic": "b", "payload": payload, "base64": True})
    assert web.link.published == [
        Message("a/set", b"on", QoS.AT_LEAST_ONCE, retain=True),
        Message("b", b"\xff"),
    ]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_request"),
        (b"hello", 400, "bad_request"),
        (b"{}", 400, "bad_request"),
        (b"[" * 100_000, 400, "bad_request"),
        (b'{"topic":"a","payload":"\xff"}', 400, "bad_request"),
        (b'{"topic":"a","qos":3}', 400, "bad_request"),
        (b'{"topic":"a/#"}', 400, "bad_topic"),
        (b'{"topic":"$SYS/a"}', 400, "bad_topic"),
        (b'{"topic":"a","payload":"!","base64":true}', 400, "bad_frame"),
        (b'{"topic":"a","payload":"' + b"x" * MAX_REQUEST_BYTES + b'"}', 413, "too_large"),
    ],
    ids=range(10),
)
async def test_a_publication_that_cannot_be_is_refused(
    refusing: httpx.AsyncClient, body: bytes, status: int, code: str
) -> None:
    headers = {"content-type": "application/json"}
    response = await refusing.post("/api/publish", content=body, headers=headers)
    assert error(response) == (status, code)


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (LinkAwayError("it is away"), (503, "unavailable")),
        (LinkFullError("it is full"), (429, "rate_limited")),
    ],
)
async def test_a_link_in_trouble_is_told(
    web: Web, http: httpx.AsyncClient, trouble: Exception, expected: tuple[int, str]
) -> None:
    web.link.trouble = trouble
    response = await http.post("/api/publish", json={"topic": "a"})
    assert error(response) == expected
    assert response.json()["error"]["message"] == str(trouble)


async def test_who_publishes_faster_than_one_may_is_told_so(
    web: Web, http: httpx.AsyncClient
) -> None:
    web.state.rate = PublishRate(per_s=1e-6, burst=1)
    assert (await http.post("/api/publish", json={"topic": "a"})).status_code == 202
    assert error(await http.post("/api/publish", json={"topic": "a"})) == (429, "rate_limited")
    assert len(web.link.published) == 1


# --- who may not


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/topics", None),
        ("GET", "/api/devices", None),
        ("GET", "/api/events?filter=a", None),
        ("POST", "/api/publish", {"topic": "a"}),
    ],
)
async def test_who_may_nothing_is_refused(
    method: str, path: str, body: dict[str, str] | None
) -> None:
    users = Users(parse_users(f'users: {{wall: {{password: "{HASH}"}}}}'))
    async with (
        serving(users=users) as web,
        httpx.AsyncClient(base_url=web.url, auth=("wall", "right")) as http,
    ):
        assert error(await http.request(method, path, json=body)) == (403, "forbidden")
        assert web.link.published == []
    users.close()


# --- /api/me


async def test_who_is_not_known_where_anybody_may_do_everything(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/me")).json() == {
        "user": None,
        "groups": ["admin"],
        "subscribe": ["#", "$SYS/#"],
        "publish": ["#"],
    }


async def test_a_user_learns_what_may_be_watched_and_published() -> None:
    users = Users(
        parse_users(f"""
users: {{wall: {{password: "{HASH}", groups: [screens, hall]}}}}
rules:
  - {{group: hall, deny: [subscribe], topics: ["fieldgate/safe/#"]}}
  - {{user: wall, allow: [subscribe], topics: ["#"]}}
  - {{user: wall, allow: [publish], topics: ["fieldgate/lamp/set", "fieldgate/lamp/#"]}}
""")
    )
    try:
        async with serving(users=users) as web, httpx.AsyncClient(base_url=web.url) as http:
            web.state.topics = ("#", "zigbee2mqtt/#")
            me = await http.get("/api/me", auth=("wall", "right"))
    finally:
        users.close()
    assert me.json() == {
        "user": "wall",
        "groups": ["hall", "screens"],
        "subscribe": ["zigbee2mqtt/#"],
        "publish": ["fieldgate/lamp/#"],
    }


# --- the rest


async def test_devices_are_what_the_gateway_announced(web: Web, http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/devices")).json() == {"base": "fieldgate", "devices": []}
    announced = {"base": "fieldgate", "devices": [{"name": "boiler"}]}
    web.publish("fieldgate/bridge/devices", json.dumps(announced))
    assert (await http.get("/api/devices")).json() == announced
    web.publish("fieldgate/bridge/devices", "")
    assert (await http.get("/api/devices")).json()["devices"] == []
    web.publish("fieldgate/bridge/devices", "nonsense")
    assert (await http.get("/api/devices")).json()["devices"] == []


async def test_health_says_whether_it_lives_and_whether_it_is_ready(
    web: Web, http: httpx.AsyncClient
) -> None:
    assert (await http.get("/health/live")).status_code == 200
    assert (await http.get("/health/ready")).status_code == 200
    web.not_ready = "the broker is away"
    response = await http.get("/health/ready")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "reason": "the broker is away"}
    assert (await http.get("/health/live")).status_code == 200
    web.not_ready = ""
    web.state.roster.is_stopping = True
    assert (await http.get("/health/ready")).json()["reason"] == "the server stops"


@pytest.mark.parametrize("path", ["/api/nope", "/nope", "/api/ws", "/assets/", "/%00", "/..%2f"])
async def test_an_unknown_path_is_not_found(refusing: httpx.AsyncClient, path: str) -> None:
    assert error(await refusing.get(path)) == (404, "not_found")


async def test_a_wrong_method_is_not_allowed(refusing: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    response = await refusing.post("/api/topics", headers=headers, content=b"{}")
    assert error(response) == (405, "not_allowed")
    assert "GET" in response.headers["allow"]
    assert error(await refusing.get("/api/publish")) == (405, "not_allowed")


async def test_everything_is_found_below_a_base_path() -> None:
    async with serving(base_path="/gate") as web, httpx.AsyncClient(base_url=web.url) as http:
        assert (await http.get("/gate/api/topics")).status_code == 200
        assert (await http.get("/gate/health/live")).status_code == 200
        assert (await http.get("/gate/")).status_code in (200, 503)
        assert error(await http.get("/gate/nope")) == (404, "not_found")
        assert error(await http.get("/api/topics")) == (404, "not_found")
        redirect = await http.get("/gate")
        assert (redirect.status_code, redirect.headers["location"]) == (307, f"{web.url}/gate/")


# --- the page


def page(folder: Path) -> httpx.AsyncClient:
    app = Starlette(routes=[page_route(folder)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page")


async def test_a_page_that_is_not_built_says_so(tmp_path: Path) -> None:
    async with page(tmp_path) as http:
        response = await http.get("/")
    assert response.status_code == 503
    assert "`make run` builds it" in response.text


async def test_a_built_page_is_served_and_only_hashed_files_are_kept(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<html>")
    (tmp_path / "assets" / "app-abc123.js").write_text("1")
    async with page(tmp_path) as http:
        index, script = await http.get("/"), await http.get("/assets/app-abc123.js")
        missing = await http.get("/assets/app-old.js")
    assert (index.status_code, index.text) == (200, "<html>")
    assert index.headers["cache-control"] == "no-cache"
    assert "immutable" in script.headers["cache-control"]
    assert missing.status_code == 404
