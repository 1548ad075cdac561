from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from broker.access import (
    ANONYMOUS,
    OPEN,
    Accounts,
    Entry,
    NoUsers,
    User,
    UsersFile,
    create_with_admin,
    door,
    open_users,
)
from broker.errors import AccessError, TooManyAttemptsError
from broker.users_file import Account

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.mark.parametrize(
    ("loopback", "anonymous", "users_exist", "entry"),
    [
        (True, True, False, Entry.OPEN),
        (True, True, True, Entry.LOGIN),
        (True, False, True, Entry.LOGIN),
        (False, True, True, Entry.LOGIN),
        (False, False, True, Entry.LOGIN),
        (False, True, False, Entry.CREATE_USERS),
        (False, False, False, Entry.CREATE_USERS),
    ],
)
def test_a_listener_is_open_on_loopback_only_and_only_without_users(
    loopback: bool, anonymous: bool, users_exist: bool, entry: Entry
) -> None:
    assert door(loopback=loopback, anonymous=anonymous, users_exist=users_exist) is entry


def test_a_config_that_lets_nobody_in_is_refused() -> None:
    with pytest.raises(AccessError, match=r"broker\.anonymous is false and there are no users"):
        door(loopback=True, anonymous=False, users_exist=False)


def test_a_fingerprint_is_another_one_when_password_or_groups_are() -> None:
    def account(password_hash: str, *groups: str) -> Account:
        return Account(User("ada", frozenset(groups)), password_hash)

    accounts = [
        account("h1"),
        account("h2"),
        account("h1", "a"),
        account("h1", "a", "b"),
        account("h1", "ab"),
        account("h1", "a, b"),
    ]
    assert len({each.fingerprint for each in accounts}) == len(accounts)
    assert account("h1", "b", "a").fingerprint == account("h1", "a", "b").fingerprint


def write(path: Path, **passwords: str) -> None:
    users = "".join(
        f'  {name}: {{password: "{CHEAP.hash(text)}", groups: [staff]}}\n'
        for name, text in passwords.items()
    )
    path.write_text(
        f"users:\n{users}rules:\n  - {{group: staff, allow: [subscribe], topics: [a]}}\n"
    )
    path.chmod(0o600)


def put(path: Path, text: str | None) -> None:
    path.unlink()
    if text is not None:
        path.write_text(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "users.yaml"
    write(path, ada="right")
    return path


@pytest.fixture
def users(path: Path) -> Iterator[UsersFile]:
    users = UsersFile(path)
    yield users
    users.close()


async def test_a_right_password_makes_a_user_with_groups(users: UsersFile) -> None:
    ada = User("ada", frozenset({"staff"}))
    assert await users.authenticate("ada", b"right") == ada
    assert await users.authenticate("ada", b"wrong") is None
    assert await users.authenticate("eve", b"right") is None
    assert users.find("ada") == ada
    assert users.find("eve") is None


async def test_wrong_passwords_make_an_address_wait_even_with_the_right_one(
    users: UsersFile,
) -> None:
    assert await users.authenticate("ada", b"right", "10.0.0.1")
    for number in range(10):
        assert await users.authenticate("ada", b"%d" % number, "10.0.0.1") is None
    with pytest.raises(TooManyAttemptsError, match="wait 30 s") as caught:
        await users.authenticate("ada", b"right", "10.0.0.1")
    assert 29 < caught.value.wait_s <= 30
    assert await users.authenticate("ada", b"right", "10.0.0.2")


async def test_names_that_are_too_long_to_be_anybodys_count_as_one(users: UsersFile) -> None:
    for number in range(10):
        name = "x" * 1_000_000 + str(number)
        assert await users.authenticate(name, b"wrong", "10.0.0.1") is None
    with pytest.raises(TooManyAttemptsError):
        await users.authenticate("x" * 1_000_000, b"wrong", "10.0.0.1")
    assert await users.authenticate("ada", b"right", "10.0.0.1")


async def test_a_changed_file_is_taken_up_and_old_passwords_are_forgotten(
    users: UsersFile, path: Path
) -> None:
    assert await users.authenticate("ada", b"right")
    assert not await users.reload_if_changed()
    before = users.policy
    write(path, ada="changed", bob="new")
    assert await users.reload_if_changed()
    assert users.policy is not before
    assert await users.authenticate("ada", b"right") is None
    assert await users.authenticate("ada", b"changed")
    assert await users.authenticate("bob", b"new")


async def test_a_file_that_says_the_same_again_disturbs_nobody(
    users: UsersFile, path: Path
) -> None:
    changes: list[None] = []
    users.on_change(lambda: changes.append(None))
    before = users.policy
    os.utime(path)
    assert await users.reload_if_changed()
    assert users.policy is before
    assert not changes


async def test_a_faulty_or_missing_file_leaves_the_old_users_and_is_logged_once(
    users: UsersFile, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(path, "users: [")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert not await users.reload_if_changed()
    assert caplog.text.count("the old users stay") == 1
    assert f"{path}:1: this is not YAML" in caplog.text
    put(path, None)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert not await users.reload_if_changed()
    assert caplog.text.count("the old users stay") == 2
    assert await users.authenticate("ada", b"right")
    write(path, bob="new")
    assert await users.reload_if_changed()
    assert await users.authenticate("ada", b"right") is None


async def test_a_login_under_way_counts_by_the_users_of_when_it_ends(users: UsersFile) -> None:
    login = asyncio.ensure_future(users.authenticate("ada", b"right"))
    await asyncio.sleep(0)  # the check has begun, and its answer can't be taken before we wait
    users.take_up(Accounts({"ada": Account(User("ada"), CHEAP.hash("changed"))}))
    assert await login is None


async def test_the_created_admin_can_log_in(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    password = create_with_admin(path)
    users = open_users(path, named=True)
    assert await users.authenticate("admin", password.encode()) == users.find("admin")
    users.close()


async def test_only_a_file_that_is_not_named_may_be_missing(path: Path, tmp_path: Path) -> None:
    users = open_users(tmp_path / "none.yaml", named=False)
    assert isinstance(users, NoUsers)
    assert not users.exist
    assert users.policy is OPEN
    assert users.policy.grants(ANONYMOUS, "#")
    assert await users.authenticate("admin", b"") is None
    assert not await users.reload_if_changed()
    users.close()
    with pytest.raises(AccessError, match="can't be read"):
        open_users(tmp_path / "none.yaml", named=True)
    found = open_users(path, named=False)
    assert found.exist
    found.close()
