"""Changing the users file by command: a user, some rules; everything else stays as it is written.

A change is checked as a whole before it replaces the file, which happens at once or not at all; a
lock beside the file keeps two commands from undoing each other.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from broker.errors import AccessError
from broker.password import MADE_LENGTH, hash_password, quick_hash, random_password
from broker.policy import ANYBODY, Rule
from broker.private_file import edit_lock, replace_file
from broker.users_file import Accounts, parse_users, read_users

Users = dict[str, Any]
Tree = dict[str, Any]

_NEW_FILE = """\
# Who may do what: the first rule that matches decides, what none matches is denied.
users: {}
rules:
  - {group: admin, allow: [publish, subscribe], topics: ["#"]}
  - {group: admin, allow: [subscribe], topics: ["$SYS/#"]}
"""


def add_user(path: Path, name: str, password: str | None, groups: Sequence[str] = ()) -> str:
    """Add a user; the first one makes the file. Raises AccessError, also where they exist.

    Returns the password, which is made here where none is given.
    """
    password, hashed = _password(password)

    def add(tree: Tree) -> None:
        users: Users = tree["users"]
        if name in users:
            raise AccessError(f"{path} has a user {name}: change them by `fieldgate user passwd`")
        entry: Users = {"password": hashed}
        if groups:
            entry["groups"] = list(groups)
        users[name] = entry

    _change(path, add)
    return password


def set_password(path: Path, name: str, password: str | None) -> str:
    """Give a user another password; raises AccessError where there is no such user.

    Returns it, which is made here where none is given.
    """
    password, hashed = _password(password)

    def change(tree: Tree) -> None:
        _existing(path, tree["users"], name)["password"] = hashed

    _change(path, change)
    return password


def remove_user(path: Path, name: str) -> None:
    """Take a user away; raises AccessError where there is no such user."""

    def remove(tree: Tree) -> None:
        _existing(path, tree["users"], name)
        del tree["users"][name]

    _change(path, remove)


def add_rules(path: Path, rules: Sequence[Rule]) -> int:
    """Add those of the rules that are not there yet; returns how many. Raises AccessError.

    They go behind the others, but before a last word that denies everything to anybody.
    """
    count = 0

    def add(tree: Tree) -> None:
        nonlocal count
        known = list_users(path).policy.rules if path.exists() else ()
        new = [rule for rule in rules if rule not in known]
        count = len(new)
        at = next((place for place, rule in enumerate(known) if _is_last_word(rule)), None)
        written = _yaml().load("\n".join(f"- {rule}" for rule in new)) or []
        place = len(tree["rules"]) if at is None else at
        for entry in reversed(written):
            tree["rules"].insert(place, entry)

    _change(path, add)
    return count


def list_users(path: Path) -> Accounts:
    """The users and rules as they are; raises AccessError."""
    return read_users(path)[0]


def _existing(path: Path, users: Users, name: str) -> Any:
    if name not in users:
        names = ", ".join(users) or "nobody"
        raise AccessError(f"{path} has no user {name}; it has {names}")
    return users[name]


def _password(given: str | None) -> tuple[str, Any]:
    """A password and its hash, quoted: it holds commas, which end an unquoted value in `{…}`."""
    if given is None:
        password = random_password(MADE_LENGTH)
        return password, DoubleQuotedScalarString(quick_hash(password))
    if not given:
        raise AccessError("an empty password lets anybody in: give one")
    return given, DoubleQuotedScalarString(hash_password(given))


def _is_last_word(rule: Rule) -> bool:
    return not rule.allow and rule.user == ANYBODY and "#" in rule.topics


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(sequence=4, offset=2)  # as our own files are written
    yaml.preserve_quotes = True
    return yaml


def _change(path: Path, change: Callable[[Tree], None]) -> None:
    yaml = _yaml()
    try:
        with edit_lock(path):
            text = _NEW_FILE
            if path.exists():
                read_users(path)  # says what is wrong with it, with line and key
                text = path.read_text(encoding="utf-8")
            tree = yaml.load(text)
            if not tree.get("users"):
                tree["users"] = {}
            if not tree.get("rules"):
                tree["rules"] = CommentedSeq()
            change(tree)
            written = io.StringIO()
            yaml.dump(tree, written)
            parse_users(written.getvalue(), str(path))
            replace_file(path, written.getvalue())
    except OSError as error:
        raise AccessError(f"{path}: the users file can't be written: {error.strerror}") from error
