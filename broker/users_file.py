"""The users file: `users.yaml` made accounts and a policy, and the first one written."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from broker.errors import AccessError, TopicError
from broker.file_stamp import Stamp
from broker.password import hash_password, is_hash, random_password
from broker.policy import ADMIN_GROUP, ANYBODY, Action, Policy, Rule, User
from broker.private_file import is_readable_by_others, replace_file
from broker.topics import check_filter

MAX_BYTES = 1024 * 1024
MAX_NODES = 100_000
"""Values in one file, aliases counted each time they are used."""

MAX_DEPTH = 8

MAX_NAME_CHARACTERS = 128

FIRST_FILE = """\
# Who may do what: the first rule that matches decides, what none matches is denied.
users:
  admin: {{password: "{password_hash}", groups: [{group}]}}
rules:
  - {{group: {group}, allow: [publish, subscribe], topics: ["#"]}}
  - {{group: {group}, allow: [subscribe], topics: ["$SYS/#"]}}
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """One user as the file has them."""

    user: User
    password_hash: str

    @property
    def fingerprint(self) -> str:
        """Another one as soon as the password or the groups are others."""
        said = json.dumps([self.password_hash, *sorted(self.user.groups)])
        return sha256(said.encode(errors="surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Accounts:
    """All that one version of the users file says."""

    by_name: Mapping[str, Account] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)


def read_users(path: Path) -> tuple[Accounts, Stamp]:
    """Read and check a users file; raises AccessError."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise AccessError(
            f"{path}: the users file can't be read: {error.strerror}."
            " Mend that, or take `users_file` out of the config to have no users"
        ) from error
    if len(raw) > MAX_BYTES:
        raise AccessError(f"{path}: the users file is too long: {MAX_BYTES} bytes at most")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise AccessError(f"{path}:{line}: the users file is not UTF-8 text") from None
    accounts = parse_users(text, str(path))
    if is_readable_by_others(status):
        _log.warning("%s can be read by other users of this machine: chmod 600 it", path)
    return accounts, Stamp.of(status)


def parse_users(text: str, where: str = "users.yaml") -> Accounts:
    """Make accounts and a policy of the text; raises AccessError with a line for each fault."""
    lines = _Lines(where)
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise AccessError(f"{where}:{line}: this is not YAML: {error.problem}") from None
    except (YAMLError, ValueError, OverflowError) as error:  # chr() of an odd escape
        problem = " ".join(str(error).split())
        raise AccessError(f"{where}: this is not YAML: {problem}") from None
    except RecursionError:
        raise AccessError(f"{where}: this is nested too deeply to be a users file") from None
    if root is None:
        raise AccessError(f"{where}: the users file is empty: it needs `users` and `rules`")
    plain = lines.plain(root, ())
    try:
        entries = _FileEntry.model_validate(plain)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        raise AccessError("\n".join(lines.sentence(fault) for fault in faults)) from None
    return Accounts(
        {
            name: Account(User(name, frozenset(entry.groups)), entry.password)
            for name, entry in entries.users.items()
        },
        Policy(
            tuple(
                entry.rule(lines.of(("rules", place))) for place, entry in enumerate(entries.rules)
            )
        ),
    )


def create_with_admin(path: Path) -> str:
    """Write a users file with `admin`, who may do everything, and return the password.

    The password is kept nowhere else: show it once. Raises AccessError, also where a file is
    there already: it is never overwritten.
    """
    password = random_password()
    text = FIRST_FILE.format(password_hash=hash_password(password), group=ADMIN_GROUP)
    try:
        # The name is taken first, so that nobody's file can be lost between a look and a rename.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            replace_file(path, text)
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
    except FileExistsError:
        raise AccessError(f"{path}: there is a file already, and it stays as it is") from None
    except OSError as error:
        raise AccessError(f"{path}: the users file can't be written: {error.strerror}") from error
    return password


def _check_user_name(name: str) -> str:
    is_short = 1 <= len(name) <= MAX_NAME_CHARACTERS
    if not is_short or not name.isprintable() or ":" in name or name == ANYBODY:
        raise ValueError(
            f"is no user name: 1 to {MAX_NAME_CHARACTERS} printable characters, no colon, not *"
        )
    return name


def _check_hash(text: str) -> str:
    if not is_hash(text):
        raise ValueError(
            "is not an argon2id hash as in $argon2id$v=19$m=…: set it by `fieldgate user passwd`"
        )
    return text


def _check_pattern(pattern: str) -> str:
    try:
        check_filter(pattern.replace("%u", "x").replace("%c", "x"))
    except TopicError as error:
        raise ValueError(str(error)) from None
    return pattern


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _UserEntry(_Entry):
    password: Annotated[str, AfterValidator(_check_hash)]
    groups: list[Annotated[str, Field(min_length=1, max_length=128)]] = Field(
        default=[], max_length=100
    )


class _RuleEntry(_Entry):
    user: str | None = Field(default=None, min_length=1)
    group: str | None = Field(default=None, min_length=1)
    allow: list[Literal["publish", "subscribe"]] | None = Field(default=None, min_length=1)
    deny: list[Literal["publish", "subscribe"]] | None = Field(default=None, min_length=1)
    topics: list[Annotated[str, AfterValidator(_check_pattern)]] = Field(
        min_length=1, max_length=1000
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> _RuleEntry:
        if (self.user is None) == (self.group is None):
            raise ValueError('needs either user or group; user: "*" is anybody')
        if (self.allow is None) == (self.deny is None):
            raise ValueError("needs either allow or deny, as in allow: [publish, subscribe]")
        return self

    def rule(self, line: int) -> Rule:
        return Rule(
            allow=self.allow is not None,
            actions=frozenset(Action(action) for action in self.allow or self.deny or ()),
            topics=tuple(self.topics),
            user=self.user,
            group=self.group,
            line=line,
        )


class _FileEntry(_Entry):
    users: dict[Annotated[str, AfterValidator(_check_user_name)], _UserEntry] = Field(
        default={}, max_length=10_000
    )
    rules: list[_RuleEntry] = Field(default=[], max_length=1000)


_Place = tuple[int | str, ...]


class _Lines:
    """Turns YAML nodes into plain values, every scalar as its text, and remembers the lines."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._lines: dict[_Place, int] = {}

    def plain(self, node: Node, place: _Place) -> Any:
        line = int(node.start_mark.line) + 1
        self._lines[place] = line
        if len(place) > MAX_DEPTH:
            raise self._fault(line, place, "is nested too deeply")
        if len(self._lines) > MAX_NODES:
            raise self._fault(line, (), f"holds more than {MAX_NODES} values")
        if isinstance(node, SequenceNode):
            return [self.plain(item, (*place, i)) for i, item in enumerate(node.value)]
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        return self._scalar(node, line, place)

    def of(self, place: _Place) -> int:
        """The line of a value that is there."""
        return self._lines[place]

    def sentence(self, fault: ErrorDetails) -> str:
        """What pydantic found, as file:line: key: what is wrong."""
        place: _Place = tuple(step for step in fault["loc"] if step != "[key]")
        known = place
        while known not in self._lines:
            known = known[:-1]
        kind = fault["type"]
        if kind == "value_error":
            text = str(fault["ctx"]["error"])
        elif kind == "extra_forbidden":
            text = "is no key of the users file here"
        else:
            text = _SAYINGS.get(kind) or f"is wrong: {fault['msg']}"
        return str(self._fault(self._lines[known], place, text))

    def _mapping(self, node: MappingNode, place: _Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = int(key_node.start_mark.line) + 1
            key = self._scalar(key_node, line, place)
            if key is None:
                raise self._fault(line, place, "has an empty key")
            if key in values:
                raise self._fault(line, (*place, key), "stands here a second time")
            values[key] = self.plain(value_node, (*place, key))
            self._lines[*place, key] = line
        return values

    def _scalar(self, node: Node, line: int, place: _Place) -> str | None:
        kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
        if not isinstance(node, ScalarNode) or kind not in _SCALARS:
            raise self._fault(line, place, "holds what no users file knows (a tag, merge or key)")
        return None if kind == "null" else str(node.value)

    def _fault(self, line: int, place: _Place, text: str) -> AccessError:
        name = ""
        for step in place:
            name += f"[{step + 1}]" if isinstance(step, int) else f".{step}"
        return AccessError(f"{self._where}:{line}: {name.lstrip('.') or 'the file'} {text}")


_SAYINGS = {
    "missing": "is missing",
    "dict_type": "must be a mapping, as in {key: value}",
    "model_type": "must be a mapping, as in {key: value}",
    "list_type": "must be a list, as in [a, b]",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "too_long": "has too many entries",
}
_SCALARS = {"str", "int", "float", "bool", "null", "timestamp"}
