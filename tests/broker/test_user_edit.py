"""Changing the users file by command."""

import stat
from pathlib import Path

import pytest

from broker.access import Action, User, UsersFile, add_user, list_users, remove_user, set_password
from broker.errors import AccessError


async def test_the_first_user_makes_a_file_that_works_and_only_we_can_read(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    add_user(path, "ada", "correct horse", ["admin"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    users = UsersFile(path)
    try:
        ada = await users.authenticate("ada", b"correct horse")
        assert ada == User("ada", frozenset({"admin"}))
        assert users.policy.may(ada, Action.PUBLISH, "a/b")
        assert await users.authenticate("ada", b"wrong") is None
    finally:
        users.close()


def test_what_is_written_by_hand_stays(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    add_user(path, "ada", "one")
    text = path.read_text().replace("rules:", "# the wall\nrules:")
    path.write_text(text)
    add_user(path, "grace", "two", ["wall"])
    assert "# the wall" in path.read_text()
    assert list(list_users(path).by_name) == ["ada", "grace"]
    assert len(list_users(path).policy.rules) == 2


async def test_a_password_is_changed_and_a_user_removed(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    add_user(path, "ada", "one")
    add_user(path, "grace", "two")
    set_password(path, "ada", "three")
    remove_user(path, "grace")
    users = UsersFile(path)
    try:
        assert await users.authenticate("ada", b"three") is not None
        assert users.find("grace") is None
    finally:
        users.close()


def test_what_can_not_be_done_says_why_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    add_user(path, "ada", "one")
    before = path.read_bytes()
    with pytest.raises(AccessError, match="has a user ada"):
        add_user(path, "ada", "two")
    with pytest.raises(AccessError, match="no user bob; it has ada"):
        remove_user(path, "bob")
    with pytest.raises(AccessError, match="no user bob"):
        set_password(path, "bob", "x")
    with pytest.raises(AccessError, match="empty password"):
        add_user(path, "bob", "")
    with pytest.raises(AccessError, match="no user name"):
        add_user(path, "a:b", "x")
    assert path.read_bytes() == before

    path.write_text("users: [\n")
    with pytest.raises(AccessError, match="not YAML"):
        add_user(path, "bob", "x")
    with pytest.raises(AccessError, match="can't be written"):
        add_user(tmp_path / "no" / "users.yaml", "bob", "x")
