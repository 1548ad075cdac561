from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser_session import browsing
from tests.real_ends import DEADLINE_S, until
from tests.webui.serving import serving
from tests.webui.test_auth import users_in


async def listed(http: httpx.AsyncClient, **query: int) -> dict[str, Any]:
    response = await http.get("/api/sessions", params=query)
    assert response.status_code == 200
    answer: dict[str, Any] = response.json()
    return answer


async def test_it_shows_who_watches_what_and_the_slowest_first() -> None:
    async with (
        serving() as web,
        httpx.AsyncClient(base_url=web.url, timeout=DEADLINE_S) as http,
        browsing(web.url, "a/#", "b", id=7) as quick,
        browsing(web.url, "a/#", max_rate_hz=0.001),
        http.stream("GET", "/api/events?filter=other"),
    ):
        await until(lambda: web.hub.size().channels == 3, "all watch")
        web.publish("a/1", "x", "y")
        await quick.until(lambda: quick.values, "delivered")
        answer = await listed(http)
        assert answer["count"] == 3
        first, *others = answer["sessions"]
        assert first["transport"] == "websocket"
        assert (first["user"], first["token"]) == (None, None)
        assert first["address"] == "127.0.0.1"
        (watch,) = first["subscriptions"]
        assert watch["lag_s"] > 1
        assert watch | {"lag_s": 0} == {
            "id": 0, "filters": ["a/#"], "mode": "latest", "max_rate_hz": 0.001,
            "behind": 2, "lag_s": 0,
        }  # fmt: skip
        assert sorted((each["transport"], each["subscriptions"][0]["id"]) for each in others) == [
            ("events", 0),
            ("websocket", 7),
        ]
        assert [each["subscriptions"][0]["behind"] for each in others] == [0, 0]
        few = await listed(http, limit=1)
        assert (few["count"], few["sessions"][0]["id"]) == (3, first["id"])
        assert (await http.get("/api/sessions?limit=0")).status_code == 400


@pytest.mark.parametrize(("user", "status"), [("ada", 200), ("wall", 403)])
async def test_only_admins_see_it(tmp_path: Path, user: str, status: int) -> None:
    users = users_in(tmp_path)
    async with serving(users=users) as web, httpx.AsyncClient(base_url=web.url) as http:
        answer = await http.get("/api/sessions", auth=(user, "right"))
        assert answer.status_code == status
        if status == 403:
            assert "group admin" in answer.json()["error"]["message"]
    users.close()


async def test_it_names_the_user_of_each_session(tmp_path: Path) -> None:
    users = users_in(tmp_path)
    async with serving(users=users) as web:
        url = web.url.replace("http://", "http://wall:right@")
        async with (
            browsing(url, "fieldgate/#") as wall,
            httpx.AsyncClient(base_url=web.url) as http,
        ):
            await wall.until(lambda: wall.answers, "subscribed")
            answer = (await http.get("/api/sessions", auth=("ada", "right"))).json()
        assert [each["user"] for each in answer["sessions"]] == ["wall"]
    users.close()
