"""History through the whole program: recorded, asked for, and the same after a restart."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import httpx

from tests.program import running
from tests.real_ends import DEADLINE_S, wait_until

TOPIC = "fieldgate/boiler/temperature"
CONFIG = """
devices: []
history: {topics: [{topic: plant/+, fields: [level]}]}
"""


def publish(http: httpx.Client, topic: str, payload: str, *, retain: bool = False) -> None:
    body = {"topic": topic, "payload": payload, "retain": retain}
    assert http.post("/api/publish", json=body).status_code == 202


def columns(http: httpx.Client, topic: str = TOPIC, field: str = "") -> dict[str, list[float]]:
    query = {"topic": topic, "field": field, "points": "5000"}
    found: dict[str, list[float]] = http.get("/api/history", params=query).json()
    return found


def is_newest(http: httpx.Client, value: float) -> bool:
    return columns(http)["max"][-1:] == [value]


def is_ready(http: httpx.Client) -> bool:
    return http.get("/health/ready").status_code == 200


def test_what_was_before_a_restart_is_there_after_it_and_no_more(tmp_path: Path) -> None:
    with running(tmp_path, CONFIG) as fieldgate, httpx.Client(base_url=fieldgate.page_url) as http:
        wait_until(lambda: is_ready(http), "it is ready")
        for value in ("21.5", "22.5"):
            publish(http, TOPIC, value, retain=True)
            publish(http, "plant/1", f'{{"level":{value},"name":"x"}}')
            wait_until(partial(is_newest, http, float(value)), f"{value} is recorded")
            time.sleep(1)  # so that the next one has a second of its own
        before = columns(http), columns(http, "plant/1", "level")
    assert before[0]["mean"] == before[1]["mean"] == [21.5, 22.5]
    with (
        running(tmp_path, CONFIG) as fieldgate,
        httpx.Client(base_url=fieldgate.page_url, timeout=DEADLINE_S) as http,
    ):
        wait_until(lambda: is_ready(http), "it is ready, with the retained value replayed")
        assert (columns(http), columns(http, "plant/1", "level")) == before
        lines = http.get("/api/history/export", params={"topic": TOPIC}).text.splitlines()
        assert [line.split(",")[2] for line in lines] == ["min", "21.5", "22.5"]


def test_history_can_be_off(tmp_path: Path) -> None:
    config = "devices: []\nhistory: {size_mb: 0}\n"
    with running(tmp_path, config) as fieldgate, httpx.Client(base_url=fieldgate.page_url) as http:
        assert http.get("/api/history", params={"topic": TOPIC}).status_code == 503
    assert not (tmp_path / "data" / "history.sqlite").exists()
