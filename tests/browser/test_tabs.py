"""Many tabs of one browser: one session at the server, and every tab sees everything."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.program import Program, running
from tests.real_ends import DEADLINE_S, free_port

CONFIG = """
web: {{listen: 127.0.0.1:{}}}
broker: {{listeners: [mqtt://127.0.0.1:{}]}}
devices: []
"""
MOST_TABS = 10
"""Of one WebSocket: see webui/ui/src/switchboard.ts."""


def configured() -> str:
    return CONFIG.format(free_port(), free_port())


class Gateway:
    """What the server itself says, and a way to publish."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def publish(self, value: str) -> None:
        body = {"topic": "plant/value", "payload": value, "retain": True}
        async with httpx.AsyncClient(base_url=self._url) as http:
            assert (await http.post("/api/publish", json=body)).status_code == 202

    async def has(self, *, sessions: int, subscriptions: int) -> None:
        """Wait until it counts so many."""
        found: dict[str, Any] = {}
        try:
            async with asyncio.timeout(DEADLINE_S), httpx.AsyncClient(base_url=self._url) as http:
                while True:
                    found = (await http.get("/api/sessions")).json()
                    counted = sum(len(each["subscriptions"]) for each in found["sessions"])
                    if (len(found["sessions"]), counted) == (sessions, subscriptions):
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not {sessions} sessions with {subscriptions}: {found}") from None


async def opened(context: BrowserContext, url: str, count: int) -> list[Page]:
    tabs = [await context.new_page() for _ in range(count)]
    for tab in tabs:
        await tab.goto(f"{url}/#/topics/plant/value")
        await expect(tab.locator("fg-connection")).to_have_text("Live")
    return tabs


async def all_show(tabs: Sequence[Page], value: str) -> None:
    for tab in tabs:
        await expect(tab.locator("fg-topic")).to_contain_text(value)


async def test_eight_tabs_are_one_session_and_each_gets_every_value(
    browser: Browser, tmp_path: Path
) -> None:
    context = await browser.new_context()
    faults: list[str] = []
    context.on("weberror", lambda error: faults.append(str(error.error)))
    context.on("console", lambda line: faults.extend(re.findall("Content Security.*", line.text)))
    with running(tmp_path, configured()) as fieldgate:
        gateway = Gateway(fieldgate.page_url)
        await gateway.publish("before")
        tabs = await opened(context, fieldgate.page_url, 8)
        await gateway.has(sessions=1, subscriptions=8)
        await all_show(tabs, "before")
        for n in range(5):
            await gateway.publish(f"value {n}")
            await all_show(tabs, f"value {n}")

        for tab in tabs[:5]:
            await tab.close()
        await gateway.has(sessions=1, subscriptions=3)
        del tabs[:5]
        await gateway.publish("after five left")
        await all_show(tabs, "after five left")

        fieldgate.kill()
        for tab in tabs:
            await expect(tab.locator("fg-connection")).to_contain_text("Reconnecting")
        again = Program(tmp_path / "fieldgate.yaml")
        try:
            for tab in tabs:
                await expect(tab.locator("fg-connection")).to_have_text("Live")
            await gateway.publish("after the server was away")
            await all_show(tabs, "after the server was away")
            await gateway.has(sessions=1, subscriptions=3)
            for tab in tabs:
                await tab.close()
            await gateway.has(sessions=0, subscriptions=0)
        finally:
            assert again.stop() == 0
    await context.close()
    assert faults == []


async def test_a_tab_too_many_for_one_session_has_one_of_its_own(
    browser: Browser, tmp_path: Path
) -> None:
    context = await browser.new_context()
    with running(tmp_path, configured()) as fieldgate:
        gateway = Gateway(fieldgate.page_url)
        tabs = await opened(context, fieldgate.page_url, MOST_TABS + 1)
        await gateway.has(sessions=2, subscriptions=MOST_TABS + 1)
        await gateway.publish("for all")
        await all_show(tabs, "for all")
        await tabs[-1].close()
        await gateway.has(sessions=1, subscriptions=MOST_TABS)
        await context.close()


async def test_where_there_are_no_shared_workers_each_tab_has_a_session(
    browser: Browser, tmp_path: Path
) -> None:
    context = await browser.new_context()
    await context.add_init_script("delete globalThis.SharedWorker")
    with running(tmp_path, configured()) as fieldgate:
        gateway = Gateway(fieldgate.page_url)
        tabs = await opened(context, fieldgate.page_url, 2)
        await gateway.has(sessions=2, subscriptions=2)
        await gateway.publish("for both")
        await all_show(tabs, "for both")
        await context.close()


async def test_a_tab_that_comes_back_from_the_history_is_live_again(
    browser: Browser, tmp_path: Path
) -> None:
    context = await browser.new_context()
    with running(tmp_path, configured()) as fieldgate:
        gateway = Gateway(fieldgate.page_url)
        (tab,) = await opened(context, fieldgate.page_url, 1)
        await tab.goto("about:blank")
        await gateway.has(sessions=0, subscriptions=0)
        await tab.go_back()
        await expect(tab.locator("fg-connection")).to_have_text("Live")
        await gateway.has(sessions=1, subscriptions=1)
        await context.close()
