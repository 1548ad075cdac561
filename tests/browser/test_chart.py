"""The chart in a real browser: what it shows outlives the program."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Page, expect

from tests.program import Program, running
from tests.real_ends import DEADLINE_S, free_port, until

TOPIC = "fieldgate/boiler/temperature"
CONFIG = """
devices: []
web: {{listen: 127.0.0.1:{}}}
broker: {{listeners: [mqtt://127.0.0.1:{}]}}
"""
LINE = """() => {
    const app = document.querySelector('fg-app').shadowRoot;
    const chart = app.querySelector('fg-chart')?.shadowRoot.querySelector('fg-live-chart');
    return chart ? chart.ring.since(0) : null;
}"""


async def publish(page_url: str, payload: str) -> None:
    body = {"topic": TOPIC, "payload": payload, "retain": True}
    async with httpx.AsyncClient(base_url=page_url, timeout=DEADLINE_S) as http:
        assert (await http.post("/api/publish", json=body)).status_code == 202


def is_ready(page_url: str) -> bool:
    return httpx.get(f"{page_url}/health/ready").status_code == 200


async def line(page: Page, count: int) -> dict[str, Any]:
    """The samples that are drawn, once there are so many."""
    await page.wait_for_function(f"() => (({LINE})()?.values.length ?? 0) >= {count}")
    found: dict[str, Any] = await page.evaluate(LINE)
    return found


async def test_the_chart_after_a_restart_shows_what_it_showed_before_and_goes_on(
    page: Page, tmp_path: Path
) -> None:
    config = CONFIG.format(free_port(), free_port())
    with running(tmp_path, config) as fieldgate:
        url = fieldgate.page_url
        await until(lambda: is_ready(url), "it is ready")
        for value in ("21.5", "23.5", "20.5"):
            await publish(url, value)
            await asyncio.sleep(1.1)  # history keeps one sample a second
        await page.goto(f"{url}/#/chart/{TOPIC}")
        before = await line(page, 3)
        summary = await page.locator("fg-chart dl").inner_text()
    assert before["values"] == [21.5, 23.5, 20.5]
    assert "20.5" in summary
    assert "23.5" in summary
    again = Program(tmp_path / "fieldgate.yaml")
    try:
        again.wait_until_started()
        await page.reload()
        assert await line(page, 3) == before
        await expect(page.locator("fg-chart dl")).to_have_text(summary, use_inner_text=True)
        await publish(url, "22.5")
        after = await line(page, 4)
        assert after["values"] == [*before["values"], 22.5]
        assert after["times"] == sorted(after["times"])
        await expect(page.locator("fg-chart .now")).to_contain_text("22.5")
    finally:
        assert again.stop() == 0


async def test_a_chart_without_history_starts_with_what_comes(page: Page, tmp_path: Path) -> None:
    with running(tmp_path, "devices: []\nhistory: {size_mb: 0}\n") as fieldgate:
        await page.goto(f"{fieldgate.page_url}/#/chart/{TOPIC}")
        await expect(page.get_by_role("status")).to_have_text("Live")
        await publish(fieldgate.page_url, "21.5")
        assert (await line(page, 1))["values"] == [21.5]
