"""`/api/history` and its export, over HTTP, with a real file behind them."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher

from broker.access import Users, parse_users
from broker.link import Message
from tests.real_ends import DEADLINE_S
from tests.webui.serving import serving
from webui.history.data_folder import HistorySettings, open_history
from webui.history.history import OFF, History

TOPIC = "fieldgate/boiler/temperature"
Query = dict[str, str | int]
START_MS = time.time_ns() // 1_000_000_000 * 1000 - 60_000

USERS = f"""\
users:
  wall: {{password: "{PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("right")}"}}
rules:
  - {{user: wall, allow: [subscribe], topics: ["fieldgate/boiler/#"]}}
"""


@asynccontextmanager
async def asking(history: History, users: Users | None = None) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(history=history, users=users) as web,
        httpx.AsyncClient(base_url=web.url, timeout=DEADLINE_S) as client,
    ):
        yield client


@pytest.fixture
async def past(tmp_path: Path) -> AsyncIterator[History]:
    """A value a second: 0, 1, 2, …"""
    async with open_history(tmp_path, HistorySettings(), "fieldgate", gather_s=3600) as past:
        for second in range(10):
            message = Message(TOPIC, str(second).encode())
            past.take([message], START_MS + second * 1000, is_replay=False)
        yield past


@pytest.fixture
async def http(past: History) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(past) as client:
        yield client


def error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_columns_are_ready_to_be_drawn(http: httpx.AsyncClient) -> None:
    query: Query = {"topic": TOPIC, "from": START_MS, "to": START_MS + 10_000, "points": 12}
    response = await http.get("/api/history", params=query)
    values = [float(second) for second in range(10)]
    assert response.json() == {
        "time": [START_MS + second * 1000 for second in range(10)],
        "min": values,
        "mean": values,
        "max": values,
    }
    assert response.headers["cache-control"] == "no-store"
    fewer = (await http.get("/api/history", params=query | {"points": 10})).json()
    assert 5 <= len(fewer["time"]) <= 10
    assert (fewer["min"][0], fewer["max"][-1]) == (0.0, 9.0)
    part = await http.get("/api/history", params=query | {"from": START_MS + 4000})
    assert part.json()["min"] == values[4:]


async def test_the_last_hour_is_what_one_gets_who_names_none(http: httpx.AsyncClient) -> None:
    response = await http.get("/api/history", params={"topic": TOPIC})
    assert response.json()["max"][-1] == 9.0
    response = await http.get("/api/history", params={"topic": TOPIC, "to": START_MS + 3000})
    assert response.json()["max"][-1] == 2.0
    response = await http.get("/api/history", params={"topic": TOPIC, "to": 5})
    assert response.json()["max"] == []


async def test_a_field_of_a_device_s_state_is_its_point(http: httpx.AsyncClient) -> None:
    query = {"topic": "fieldgate/boiler", "field": "temperature"}
    assert (await http.get("/api/history", params=query)).json()["max"][-1] == 9.0


async def test_what_was_never_recorded_is_empty(http: httpx.AsyncClient) -> None:
    response = await http.get("/api/history", params={"topic": "nothing/here"})
    assert response.json() == {"time": [], "min": [], "mean": [], "max": []}
    for form, text in (("csv", "time,seconds,min,mean,max,last,count\r\n"), ("json", "[]\n")):
        query = {"topic": "nothing/here", "format": form}
        response = await http.get("/api/history/export", params=query)
        assert (response.status_code, response.text) == (200, text)


@pytest.mark.parametrize("path", ["/api/history", "/api/history/export"])
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "bad_request"),
        ("topic=", "bad_topic"),
        ("topic=a%2F%23", "bad_topic"),
        ("topic=a%00", "bad_topic"),
        ("topic=a&from=x", "bad_request"),
        ("topic=a&from=-1", "bad_request"),
        ("topic=a&from=5&to=5", "bad_request"),
        ("topic=a&from=253402300800001", "bad_request"),
        ("topic=a&to=1e400", "bad_request"),
    ],
)
async def test_a_query_that_cannot_be_used_is_refused(
    http: httpx.AsyncClient, path: str, query: str, code: str
) -> None:
    assert error(await http.get(f"{path}?{query}")) == (400, code)


@pytest.mark.parametrize("query", ["points=9", "points=10001", "points=many"])
async def test_points_are_bounded(http: httpx.AsyncClient, query: str) -> None:
    assert error(await http.get(f"/api/history?topic=a&{query}")) == (400, "bad_request")


async def test_an_export_s_format_is_one_of_two(http: httpx.AsyncClient) -> None:
    response = await http.get("/api/history/export?topic=a&format=xml")
    assert error(response) == (400, "bad_request")


async def test_all_of_it_comes_as_csv(http: httpx.AsyncClient) -> None:
    response = await http.get("/api/history/export", params={"topic": TOPIC})
    assert response.headers["content-type"].startswith("text/csv")
    assert response.headers["content-disposition"] == (
        'attachment; filename="fieldgate_boiler_temperature.csv"'
    )
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert len(rows) == 10
    moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(START_MS / 1000 + 3))
    assert rows[3] == {
        "time": moment,
        "seconds": "1",
        "min": "3.0",
        "mean": "3.0",
        "max": "3.0",
        "last": "3.0",
        "count": "1",
    }


async def test_all_of_it_comes_as_json(http: httpx.AsyncClient) -> None:
    query: Query = {
        "topic": TOPIC,
        "format": "json",
        "from": START_MS + 2000,
        "to": START_MS + 5000,
    }
    response = await http.get("/api/history/export", params=query)
    assert response.headers["content-type"] == "application/json"
    assert response.json() == [
        {
            "time": START_MS + second * 1000,
            "seconds": 1,
            "min": float(second),
            "mean": float(second),
            "max": float(second),
            "last": float(second),
            "count": 1,
        }
        for second in (2, 3, 4)
    ]


@pytest.mark.parametrize("form", ["csv", "json"])
async def test_a_long_export_is_whole(past: History, form: str) -> None:
    for second in range(4500):
        message = Message("fieldgate/long/y", str(second).encode())
        past.take([message], START_MS - 4500_000 + second * 1000, is_replay=False)
        if second % 1500 == 0:
            await past.columns("fieldgate/long/y", "", 0, 1000, 10)
    async with asking(past) as http:
        query = {"topic": "fieldgate/long/y", "format": form}
        response = await http.get("/api/history/export", params=query)
    if form == "json":
        values = [row["last"] for row in response.json()]
    else:
        values = [float(row["last"]) for row in csv.DictReader(io.StringIO(response.text))]
    assert values == [float(second) for second in range(4500)]


async def test_a_file_name_is_plain_whatever_the_topic_is(past: History) -> None:
    async with asking(past) as http:
        query = {"topic": 'a"\r\nb/ü', "field": "x y"}
        response = await http.get("/api/history/export", params=query)
    assert response.headers["content-disposition"] == 'attachment; filename="a_b__x_y.csv"'


@pytest.mark.parametrize("path", ["/api/history", "/api/history/export"])
async def test_without_history_it_says_why(path: str) -> None:
    async with asking(OFF) as http:
        response = await http.get(path, params={"topic": TOPIC})
    assert error(response) == (503, "unavailable")
    assert "history.size_mb is 0" in response.text


@pytest.mark.parametrize("path", ["/api/history", "/api/history/export"])
async def test_only_who_may_watch_a_topic_may_see_what_it_was(past: History, path: str) -> None:
    users = Users(parse_users(USERS))
    try:
        async with asking(past, users) as http:
            http.auth = ("wall", "right")
            allowed = await http.get(path, params={"topic": TOPIC})
            other = await http.get(path, params={"topic": "fieldgate/other/x"})
        async with asking(past, users) as http:
            nobody = await http.get(path, params={"topic": TOPIC})
    finally:
        users.close()
    assert allowed.status_code == 200
    assert error(other) == (403, "forbidden")
    assert nobody.status_code == 401
