"""A click on the page reaches the hardware and comes back confirmed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.async_api import Locator, Page, expect

from tests.program import running
from tests.real_ends import DEADLINE_S
from tests.serial_line import SerialLine, serial_line

CONFIG = """
devices:
  - name: boiler
    title: Boiler in the cellar
    reader: {{type: serial, port: {port}}}
    decoder: {{type: key_value}}
    command_timeout_s: 1
    points:
      pump: {{type: boolean, write: "pump={{value}}\\n"}}
      level: {{unit: "%", min: 0, max: 100, step: 1, write: "level={{value}}\\n"}}
      mode: {{options: [auto, manual], write: "mode={{value}}\\n"}}
      note: {{type: text, write: "note={{value}}\\n"}}
      reset: {{type: button, write: "reset=1\\n"}}
      deaf: {{type: boolean, write: "DEAF {{value}}\\n"}}
"""


@contextmanager
def obedient(line: SerialLine) -> Iterator[list[bytes]]:
    """Says back what it is told, but for what it doesn't understand."""
    heard: list[bytes] = []
    is_over = threading.Event()

    def live() -> None:
        pending = b""
        while not is_over.is_set():
            *commands, pending = (pending + line.hear(0.05)).split(b"\n")
            for command in commands:
                heard.append(command)
                if b"=" in command:
                    line.say(command + b"\n")

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield heard
    finally:
        is_over.set()
        thread.join(DEADLINE_S)


async def test_every_control_shows_what_the_hardware_made_of_it(page: Page, tmp_path: Path) -> None:
    with (
        serial_line(tmp_path) as line,
        running(tmp_path, CONFIG.format(port=line.path)) as fieldgate,
    ):
        await page.goto(fieldgate.page_url)
        card = page.get_by_role("article", name="Boiler in the cellar")
        settings = card.get_by_role("list", name="Settings")
        await expect(settings.get_by_role("listitem")).to_have_count(6)
        with obedient(line) as heard:
            await _set_everything(line, settings, heard)
        line.unplug()
        await expect(settings).to_have_count(0)
        line.plug()
        await expect(settings).to_be_visible()


async def _set_everything(line: SerialLine, settings: Locator, heard: list[bytes]) -> None:
    line.say(b"partial\npump=0 level=20 mode=auto note=a deaf=0\n")

    pump = settings.get_by_role("switch", name="Pump")
    await expect(pump).to_have_attribute("aria-checked", "false")
    await pump.click()
    await expect(pump).to_have_attribute("aria-checked", "true")
    receipt = settings.get_by_role("listitem").filter(has_text="Pump").get_by_role("status")
    await expect(receipt).to_have_text("Confirmed")
    await expect(receipt).to_have_count(0)
    assert heard == [b"pump=1"]

    level = settings.get_by_role("spinbutton", name="Level")
    await level.fill("55")
    await level.blur()
    await expect(settings.get_by_role("slider", name="Level")).to_have_value("55")
    await settings.get_by_role("combobox", name="Mode").select_option("manual")
    await expect(settings.get_by_role("combobox", name="Mode")).to_have_value("manual")
    note = settings.get_by_role("textbox", name="Note")
    await note.fill("b")
    await note.press("Enter")
    await settings.get_by_role("button", name="Reset").click()
    await expect(
        settings.get_by_role("listitem").filter(has_text="Reset").get_by_role("status")
    ).to_have_text("Written")
    assert heard[1:] == [b"level=55", b"mode=manual", b"note=b", b"reset=1"]

    await settings.get_by_role("switch", name="Deaf").click()
    refusal = settings.get_by_role("listitem").filter(has_text="Deaf").get_by_role("status")
    await expect(refusal).to_contain_text("Not confirmed: the hardware has not said it back")
    await expect(settings.get_by_role("switch", name="Deaf")).to_have_attribute(
        "aria-checked", "false"
    )


async def test_who_may_not_publish_sees_no_controls(page: Page, tmp_path: Path) -> None:
    users = "users: {}\nrules:\n- {user: '*', allow: [subscribe], topics: ['#']}\n"
    (tmp_path / "users.yaml").write_text(users)
    (tmp_path / "users.yaml").chmod(0o600)
    with (
        serial_line(tmp_path) as line,
        running(tmp_path, CONFIG.format(port=line.path)) as fieldgate,
    ):
        await page.goto(fieldgate.page_url)
        card = page.get_by_role("article", name="Boiler in the cellar")
        await expect(card.get_by_text("Online")).to_be_visible()
        line.say(b"partial\npump=0\n")
        await expect(card.get_by_text("Pump")).to_be_visible()
        await expect(card.get_by_role("switch")).to_have_count(0)
