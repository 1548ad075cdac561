"""The page in a real browser, with the real program behind it."""

import gzip
import json
import re
from pathlib import Path

import httpx
from playwright.async_api import Page, expect

from tests.browser_session import browsing
from tests.program import ROOT, Program, running
from tests.real_ends import free_port, mosquitto
from tests.serial_line import serial_line

SERIAL = """
devices:
  - name: boiler
    reader: {{type: serial, port: {port}}}
    decoder: {{type: key_value}}
    points: {{temperature: {{unit: "°C", name: Flow temperature}}}}
"""


async def test_this_machine_s_values_are_there_at_once_and_move(page: Page, tmp_path: Path) -> None:
    with running(tmp_path) as fieldgate:
        await page.goto(fieldgate.page_url)
        await expect(page.get_by_role("status")).to_have_text("Live")
        card = page.locator("fg-device", has_text="Host")
        await expect(card.get_by_text("Online")).to_be_visible()
        uptime = card.locator("fg-point", has_text="Uptime").locator(".value")
        await expect(uptime).to_have_text(re.compile(r"\d"))
        await expect(uptime).not_to_have_text(await uptime.inner_text())


async def test_a_line_on_a_port_is_seen_and_so_is_its_unplugging(
    page: Page, tmp_path: Path
) -> None:
    with (
        serial_line(tmp_path) as boiler,
        running(tmp_path, SERIAL.format(port=boiler.path)) as fieldgate,
    ):
        await page.goto(fieldgate.page_url)
        card = page.locator("fg-device", has_text="Boiler")
        await expect(card.get_by_text("Online")).to_be_visible()
        boiler.say(b"partial\ntemperature=21.5 mode=eco\n")
        await expect(card.locator("fg-point", has_text="Flow temperature")).to_contain_text("21.5")
        await expect(card).to_contain_text("eco")
        boiler.say(b"temperature=22.5\n")
        await expect(card.locator("fg-point", has_text="Flow temperature")).to_contain_text("22.5")

        boiler.unplug()
        await expect(card.get_by_text("Offline", exact=True)).to_be_visible()
        await expect(card).to_contain_text("is it plugged in?")
        boiler.plug()
        await expect(card.get_by_text("Online")).to_be_visible()


QUIET = """
devices:
  - name: boiler
    reader: {{type: serial, port: {port}}}
    decoder: {{type: key_value}}
    report: {{stale_after_s: 1}}
    points: {{flow: {{report: {{stale_after_s: never}}}}, button: {{type: event}}}}
"""


async def test_a_point_that_fell_silent_is_named_and_a_press_is_seen(
    page: Page, tmp_path: Path
) -> None:
    with (
        serial_line(tmp_path) as boiler,
        running(tmp_path, QUIET.format(port=boiler.path)) as fieldgate,
    ):
        await page.goto(fieldgate.page_url)
        card = page.locator("fg-device", has_text="Boiler")
        await expect(card.get_by_text("Online")).to_be_visible()
        boiler.say(b"partial\npressure=1.5 flow=7 button=1\n")
        await expect(card.locator("fg-point", has_text="Button")).to_contain_text("Press")
        await expect(card).to_contain_text("Silent for longer than usual: Pressure.")
        pressure = card.locator("fg-point", has_text="Pressure")
        await expect(pressure.get_by_role("link")).to_have_attribute(
            "title", re.compile("this value is old")
        )
        boiler.say(b"pressure=1.6\n")
        await expect(card.locator(".silent")).to_be_hidden()


async def test_bad_frames_are_told_on_the_card(page: Page, tmp_path: Path) -> None:
    with (
        serial_line(tmp_path) as boiler,
        running(tmp_path, SERIAL.format(port=boiler.path)) as fieldgate,
    ):
        await page.goto(fieldgate.page_url)
        card = page.locator("fg-device", has_text="Boiler")
        await expect(card.get_by_text("Online")).to_be_visible()
        boiler.say(b"partial\n<b>hello</b>\n\x00\xff\ntemperature=21.5\n")
        await expect(card.locator("fg-point", has_text="Flow temperature")).to_contain_text("21.5")
        boiler.unplug()  # its health is published at once
        await card.get_by_text("3 bad frames").click()
        await expect(card.get_by_text("holds no pair, such as T=21.5").first).to_be_visible()
        await expect(card.get_by_text("<b>hello</b>")).to_be_visible()
        await expect(card.get_by_text("00 ff")).to_be_visible()


async def test_topics_are_found_and_a_chart_opens(page: Page, tmp_path: Path) -> None:
    with running(tmp_path) as fieldgate:
        await page.goto(f"{fieldgate.page_url}/#/topics")
        rows = page.locator("fg-topics").get_by_text("fieldgate/", exact=False)
        await expect(rows.first).to_be_visible()
        await page.get_by_label("Search topics").fill("cpu")
        await expect(page.get_by_text(re.compile(r"^1 of \d+ topics$"))).to_be_visible()
        await page.get_by_label("Search topics").fill("fieldgate/+/load_1m")
        await expect(page.get_by_text(re.compile(r"^1 of \d+ topics$"))).to_be_visible()

        await page.get_by_role("link", name="Devices").click()
        await page.locator("fg-point", has_text="CPU").click()
        await expect(page.locator("fg-chart canvas")).to_be_visible()


async def test_it_comes_back_by_itself_after_the_server_was_away(
    page: Page, tmp_path: Path
) -> None:
    ports = free_port(), free_port()
    config = "web: {{listen: 127.0.0.1:{}}}\nbroker: {{listeners: [mqtt://127.0.0.1:{}]}}\n"
    with running(tmp_path, config.format(*ports)) as fieldgate:
        await page.goto(fieldgate.page_url)
        badge = page.get_by_role("status")
        await expect(badge).to_have_text("Live")
        uptime = page.locator("fg-point", has_text="Uptime").locator(".value")
        await expect(uptime).to_have_text(re.compile(r"\d"))
        fieldgate.kill()
        await expect(badge).to_contain_text("Reconnecting")
        before = await uptime.inner_text()
        again = Program(tmp_path / "fieldgate.yaml")
        try:
            await expect(badge).to_have_text("Live")
            await expect(uptime).not_to_have_text(before)
        finally:
            assert again.stop() == 0


async def test_it_says_that_the_broker_is_away(page: Page, tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path) as broker,
        running(tmp_path, f"broker: {{engine: external, url: '{broker.url}'}}\n") as fieldgate,
    ):
        await page.goto(fieldgate.page_url)
        await expect(page.get_by_role("status")).to_have_text("Live")
        broker.kill()
        await expect(page.get_by_role("status")).to_contain_text("Broker away")
        broker.start()
        await expect(page.get_by_role("status")).to_have_text("Live")


async def test_a_topic_and_a_payload_that_look_like_html_stay_text(
    page: Page, tmp_path: Path
) -> None:
    with running(tmp_path) as fieldgate:
        await page.goto(f"{fieldgate.page_url}/#/topics")
        await page.evaluate(
            """() => fetch('api/publish', {
                method: 'POST',
                headers: {'Content-Type': 'application/json'},
                body: JSON.stringify({topic: '<img src=x onerror=fail()>', payload: '<b>b</b>'}),
            })"""
        )
        await expect(page.get_by_text("onerror=fail()").first).to_be_visible()
        await expect(page.get_by_text("<b>b</b>").first).to_be_visible()


async def test_the_page_works_below_a_base_path(page: Page, tmp_path: Path) -> None:
    config = "web: {listen: 127.0.0.1:0, base_path: /iot/field}\n"
    with running(tmp_path, config) as fieldgate:
        await page.goto(f"{fieldgate.page_url}/")
        await expect(page.get_by_role("status")).to_have_text("Live")
        await expect(page.locator("fg-device", has_text="Host")).to_be_visible()


def test_the_script_is_small() -> None:
    scripts = list((ROOT / "webui/static/assets").glob("*.js"))
    assert scripts
    assert sum(len(gzip.compress(script.read_bytes())) for script in scripts) < 150_000


async def test_it_shows_how_many_watch_and_who(page: Page, tmp_path: Path) -> None:
    with running(tmp_path) as fieldgate:
        await page.goto(fieldgate.page_url)
        chip = page.locator("fg-audience").get_by_role("button")
        await expect(chip).to_have_text("1 watching")
        async with browsing(fieldgate.page_url, "fieldgate/#"):
            await expect(chip).to_have_text("2 watching")
            named = {"state": "online", "sessions": 3, "users": ["ada", "wall"]}
            async with httpx.AsyncClient(base_url=fieldgate.page_url) as http:
                topic = "fieldgate/bridge/web/yard"
                body = {"topic": topic, "payload": json.dumps(named), "retain": True}
                assert (await http.post("/api/publish", json=body)).status_code == 202
            await expect(chip).to_have_text("5 watching")
        await expect(chip).to_have_text("4 watching")
        await chip.click()
        story = page.locator("fg-audience [popover]")
        await expect(story.get_by_role("listitem")).to_have_text(["ada", "wall"])
        await expect(story).to_contain_text("4 sessions in all")
