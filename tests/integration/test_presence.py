"""Who watches, as everybody on MQTT sees it: with each engine, and after a crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser_session import BrowserSession, browsing
from tests.program import Program, running
from tests.real_ends import free_port, mosquitto


def config(folder: Path, broker: str) -> str:
    return f"broker: {broker}\nweb: {{listen: 127.0.0.1:0, node: hall}}\ndata: {folder / 'data'}\n"


def said(session: BrowserSession) -> dict[str, Any]:
    payload = session.values.get("fieldgate/bridge/web/hall")
    return json.loads(payload) if payload else {}


async def is_seen(fieldgate: Program) -> None:
    """Another browser comes and goes, and one that stays sees it."""
    async with browsing(fieldgate.page_url, "fieldgate/bridge/#") as first:
        await first.until(lambda: said(first).get("sessions") == 1, "it sees itself")
        async with browsing(fieldgate.page_url, "#"):
            await first.until(lambda: said(first).get("sessions") == 2, "another came")
        await first.until(lambda: said(first).get("sessions") == 1, "and went")
        assert said(first) == {"state": "online", "sessions": 1, "users": []}
        events = [
            json.loads(each["payload"])
            for each in first.messages
            if each["topic"] == "fieldgate/bridge/event"
        ]
        of_the_other = [each["type"] for each in events if each["session"] == 2]
        assert of_the_other == ["session_opened", "session_closed"]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_with_a_broker_elsewhere_its_will_says_that_nobody_is_here(
    tmp_path: Path, version: str
) -> None:
    with mosquitto(tmp_path) as broker:
        text = config(tmp_path, f"{{engine: external, url: '{broker.url}', version: '{version}'}}")
        with running(tmp_path, text) as fieldgate:
            await is_seen(fieldgate)
            fieldgate.kill()
            other = tmp_path / "other"
            other.mkdir()
            elsewhere = f"broker: {{engine: external, url: '{broker.url}'}}\ndevices: []\n"
            with running(other, elsewhere, "--only", "web") as observer:
                async with browsing(observer.page_url, "fieldgate/bridge/web/+") as session:
                    await session.until(lambda: said(session).get("state") == "offline", "a will")
                    assert said(session) == {"state": "offline", "sessions": 0, "users": []}


async def test_with_the_broker_inside_a_crash_leaves_nobody_here(tmp_path: Path) -> None:
    text = config(tmp_path, "{listeners: ['mqtt://127.0.0.1:0']}")
    with running(tmp_path, text) as fieldgate:
        await is_seen(fieldgate)
        async with browsing(fieldgate.page_url, "fieldgate/bridge/web/+") as session:
            await session.until(lambda: said(session).get("sessions") == 1, "told")
            fieldgate.kill()
    with running(tmp_path, text, "--only", "broker", "--only", "web") as fieldgate:
        async with browsing(fieldgate.page_url, "fieldgate/bridge/web/+") as session:
            await session.until(
                lambda: said(session) == {"state": "online", "sessions": 1, "users": []}, "anew"
            )


async def test_an_orderly_end_is_told_too(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        url = f"{{engine: external, url: '{broker.url}'}}"
        other = tmp_path / "other"
        other.mkdir()
        with (
            running(other, f"broker: {url}\ndevices: []\n", "--only", "web") as observer,
            running(tmp_path, config(tmp_path, url)) as fieldgate,
        ):
            async with browsing(observer.page_url, "fieldgate/bridge/web/+") as session:
                await session.until(lambda: said(session).get("state") == "online", "online")
                assert fieldgate.stop() == 0
                await session.until(lambda: said(session).get("state") == "offline", "offline")


def test_two_web_servers_on_one_machine_have_names_of_their_own(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    with mosquitto(tmp_path) as broker:
        programs: list[Program] = []
        for port in ports:
            folder = tmp_path / str(port)
            folder.mkdir()
            text = (
                f"broker: {{engine: external, url: '{broker.url}'}}\n"
                f"web: {{listen: 127.0.0.1:{port}}}\n"
            )
            (folder / "fieldgate.yaml").write_text(text)
            programs.append(Program(folder / "fieldgate.yaml", "--only", "web"))
        try:
            for each in programs:
                each.wait_until_started()
            nodes = {httpx.get(f"{each.page_url}/api/sessions").json()["node"] for each in programs}
            assert {node.rpartition("-")[2] for node in nodes} == {str(port) for port in ports}
        finally:
            for each in programs:
                each.stop()
