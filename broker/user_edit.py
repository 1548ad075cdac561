"""Changing the users file by command: one user at a time, everything else stays as it is written.

A change is checked as a whole before it replaces the file, which happens at once or not at all; a
lock beside the file keeps two commands from undoing each other.
"""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from broker.errors import AccessError
from broker.password import hash_password
from broker.users_file import Accounts, parse_users, read_users, replace_file

Users = dict[str, Any]

_NEW_FILE = """\
# Who may do what: the first rule that matches decides, what none matches is denied.
users: {}
rules:
  - {group: admin, allow: [publish, subscribe], topics: ["#"]}
  - {group: admin, allow: [subscribe], topics: ["$SYS/#"]}
"""


def add_user(path: Path, name: str, password: str, groups: Sequence[str] = ()) -> None:
    """Add a user; the first one makes the file. Raises AccessError, also where they exist."""

    def add(users: Users) -> None:
        if name in users:
            raise AccessError(f"{path} has a user {name}: change them by `fieldgate user passwd`")
        entry: Users = {"password": _hashed(password)}
        if groups:
            entry["groups"] = list(groups)
        users[name] = entry

    _change(path, add)


def set_password(path: Path, name: str, password: str) -> None:
    """Give a user another password; raises AccessError where there is no such user."""

    def change(users: Users) -> None:
        _existing(path, users, name)["password"] = _hashed(password)

    _change(path, change)


def remove_user(path: Path, name: str) -> None:
    """Take a user away; raises AccessError where there is no such user."""

    def remove(users: Users) -> None:
        _existing(path, users, name)
        del users[name]

    _change(path, remove)


def list_users(path: Path) -> Accounts:
    """The users and rules as they are; raises AccessError."""
    return read_users(path)[0]


def _existing(path: Path, users: Users, name: str) -> Any:
    if name not in users:
        names = ", ".join(users) or "nobody"
        raise AccessError(f"{path} has no user {name}; it has {names}")
    return users[name]


def _hashed(password: str) -> Any:
    """Quoted, because a hash holds commas, which end an unquoted value in `{…}`."""
    if not password:
        raise AccessError("an empty password lets anybody in: give one")
    return DoubleQuotedScalarString(hash_password(password))


def _change(path: Path, change: Callable[[Users], None]) -> None:
    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    lock = path.with_name(f".{path.name}.lock")
    try:
        with os.fdopen(os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)) as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            text = _NEW_FILE
            if path.exists():
                read_users(path)  # says what is wrong with it, with line and key
                text = path.read_text(encoding="utf-8")
            tree = yaml.load(text)
            if not tree.get("users"):
                tree["users"] = {}
            change(tree["users"])
            written = io.StringIO()
            yaml.dump(tree, written)
            parse_users(written.getvalue(), str(path))
            replace_file(path, written.getvalue())
    except OSError as error:
        raise AccessError(f"{path}: the users file can't be written: {error.strerror}") from error
