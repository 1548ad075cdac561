"""Logging in on the page, in a real browser, with the real program behind it."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from broker.access import Action, Rule, add_rules, add_user, set_password
from tests.program import running

VALUE, OTHER = "fieldgate/host/uptime_s", "fieldgate/bridge/state"
WALL_RULE = Rule(
    allow=True, actions=frozenset({Action.SUBSCRIBE}), topics=("fieldgate/host/#",), user="wall"
)


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A users file with an admin, and a wall screen that may watch one device."""
    path = tmp_path / "users.yaml"
    add_user(path, "ada", "correct horse", ["admin"])
    add_user(path, "wall", "battery staple")
    add_rules(path, [WALL_RULE])
    return path


def change(users: Path, old: str, new: str) -> None:
    """As with an editor."""
    text = users.read_text()
    assert old in text
    users.write_text(text.replace(old, new))


async def log_in(page: Page, user: str, password: str) -> None:
    await page.get_by_label("User").fill(user)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("base_path", ["", "/iot/field"])
async def test_a_user_logs_in_sees_values_and_logs_out(
    page: Page, tmp_path: Path, base_path: str
) -> None:
    with running(
        tmp_path, f"web: {{listen: 127.0.0.1:0, base_path: '{base_path}'}}\n"
    ) as fieldgate:
        await page.goto(f"{fieldgate.page_url}/")
        await log_in(page, "ada", "wrong")
        await expect(page.get_by_role("alert")).to_have_text(
            "The user name or the password is wrong"
        )
        await expect(page.get_by_label("Password")).to_be_focused()

        await log_in(page, "ada", "correct horse")
        uptime = page.locator("fg-point", has_text="Uptime").locator(".value")
        await expect(uptime).to_have_text(re.compile(r"\d"))
        await expect(page.locator("fg-account")).to_contain_text("ada")
        await page.reload()
        await expect(page.get_by_role("status")).to_have_text("Live")

        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_label("Password")).to_be_visible()
        await expect(page.locator("fg-device")).to_have_count(0)
        await page.reload()
        await expect(page.get_by_label("Password")).to_be_visible()


async def test_the_page_says_when_the_rules_change_and_when_the_login_ends(
    page: Page, tmp_path: Path, users: Path
) -> None:
    with running(tmp_path) as fieldgate:
        await page.goto(f"{fieldgate.page_url}/#/topics")
        await log_in(page, "wall", "battery staple")
        value, other = page.get_by_title(VALUE), page.get_by_title(OTHER)
        await expect(value).to_be_visible()
        await expect(other).to_have_count(0)

        change(users, "fieldgate/host/#", "fieldgate/bridge/#")
        notice = page.get_by_role("alert").filter(has_text="What you may see was changed")
        await expect(notice).to_be_visible()
        await expect(other).to_be_visible()
        await expect(value).to_have_count(0)
        await page.get_by_role("button", name="Understood").click()
        await expect(notice).to_have_count(0)

        change(users, "user: wall", "user: nobody")
        await expect(page.get_by_text("Nothing to see with this login")).to_be_visible()

        change(users, "user: nobody", "user: wall")
        await expect(other).to_be_visible()
        set_password(users, "wall", "another one")
        await expect(page.get_by_role("alert").filter(has_text="has ended")).to_be_visible()
        await expect(other).to_have_count(0)
        await log_in(page, "wall", "another one")
        await expect(other).to_be_visible()


async def test_whoever_sees_something_without_a_login_may_log_in(
    page: Page, tmp_path: Path, users: Path
) -> None:
    change(users, "user: wall", 'user: "*"')
    with running(tmp_path) as fieldgate:
        await page.goto(fieldgate.page_url)
        await expect(page.get_by_role("heading", name="The list of devices is not")).to_be_visible()
        await page.get_by_role("link", name="Topics").click()
        value, other = page.get_by_title(VALUE), page.get_by_title(OTHER)
        await expect(value).to_be_visible()
        await expect(other).to_have_count(0)

        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("button", name="Go on without").click()
        await expect(value).to_be_visible()
        await page.get_by_role("button", name="Log in").click()
        await log_in(page, "ada", "correct horse")
        await expect(other).to_be_visible()
        await expect(page.locator("fg-account")).to_contain_text("ada")


@pytest.mark.usefixtures("users")
async def test_a_logout_in_one_tab_is_one_in_all(page: Page, tmp_path: Path) -> None:
    with running(tmp_path) as fieldgate:
        await page.goto(fieldgate.page_url)
        await log_in(page, "ada", "correct horse")
        await expect(page.get_by_role("status")).to_have_text("Live")
        async with page.expect_popup() as opening:
            await page.evaluate("void open('/')")
        other = await opening.value
        await expect(other.get_by_role("status")).to_have_text("Live")
        await other.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("alert").filter(has_text="has ended")).to_be_visible()
        await log_in(page, "ada", "correct horse")
        await expect(page.get_by_role("status")).to_have_text("Live")
