"""`fieldgate.yaml` and the environment, made into one Config or one ConfigError with all faults."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway.claim import Claim, clashes
from gateway.config import USERS_FILE, Config
from gateway.environment import override
from gateway.explanation import explain
from gateway.problem import Problem, config_error, shown
from gateway.schema import Schema
from gateway.yaml_tree import Tree, read_tree

DEFAULT_FILE = Path("fieldgate.yaml")
DATA = "data"
MAX_BYTES = 1_048_576

PATHS = (
    ("data",),
    ("users_file",),
    ("broker", "ca_file"),
    ("broker", "cert_file"),
    ("broker", "key_file"),
    ("broker", "tls", "cert_file"),
    ("broker", "tls", "key_file"),
    ("broker", "tls", "client_ca_file"),
    ("devices", "*", "reader", "file"),
    ("devices", "*", "reader", "folder"),
)
"""Keys that hold a path, which is relative to the config file's folder."""


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The config in a file, else in ./fieldgate.yaml, else the defaults; then the environment's.

    Raises ConfigError, with a line for each thing that is wrong.
    """
    tree, folder = _grown(path, environ)
    assert isinstance(tree.root, dict)
    tree.root.setdefault("data", DATA)
    _make_absolute(tree, folder)
    _find_users(tree.root, tree, folder)
    config = _validated(tree, folder)
    if tree.problems or config is None:
        raise config_error(sorted(tree.problems, key=_order))
    return config


def users_path(path: Path | None, environ: Mapping[str, str]) -> Path:
    """Where the users of a config are, whatever else is wrong with it; raises ConfigError."""
    tree, folder = _grown(path, environ)
    assert isinstance(tree.root, dict)
    named = tree.root.get("users_file")
    return folder / (named if isinstance(named, str) and named else USERS_FILE)


def data_path(path: Path | None, environ: Mapping[str, str]) -> Path:
    """The data folder of a config, whatever else is wrong with it; raises ConfigError."""
    tree, folder = _grown(path, environ)
    assert isinstance(tree.root, dict)
    named = tree.root.get("data")
    return folder / (named if isinstance(named, str) and named else DATA)


def chosen_file() -> Path | None:
    """The config file that is taken where none is named."""
    return DEFAULT_FILE if DEFAULT_FILE.exists() or DEFAULT_FILE.is_symlink() else None


def _grown(path: Path | None, environ: Mapping[str, str]) -> tuple[Tree, Path]:
    """What file and environment say together, and the folder that paths in it are relative to."""
    file = path or chosen_file()
    folder = (file.parent if file else Path()).absolute()
    tree = _read(file, folder, environ) if file else Tree()
    override(tree, environ, folder)
    if tree.root is None:
        tree.root = {}
    if not isinstance(tree.root, dict):
        sentence = f"the file is {shown(tree.root)}; expected `key: value` lines"
        raise config_error([*tree.problems, Problem(tree.place(()), (), sentence)])
    return tree, folder


@functools.cache
def schema() -> Schema:
    """The schema of Config, to find one's way in."""
    return Schema(Config.model_json_schema())


def _read(file: Path, folder: Path, environ: Mapping[str, str]) -> Tree:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise config_error([Problem(str(file), (), f"can't be read: {error.strerror}")]) from None
    if len(content) > MAX_BYTES:
        raise config_error([Problem(str(file), (), f"holds more than {MAX_BYTES} bytes")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        sentence = f"the byte {content[error.start]:#04x} is no UTF-8: save the file as UTF-8"
        raise config_error([Problem(f"{file}:{line}", (), sentence)]) from None
    return read_tree(text, lambda line: f"{file}:{line}", folder, environ)


def _make_absolute(tree: Tree, folder: Path) -> None:
    for pattern in PATHS:
        _resolve(tree, tree.root, pattern, (), folder)


def _resolve(
    tree: Tree, here: object, rest: tuple[str, ...], path: tuple[str | int, ...], folder: Path
) -> None:
    key, *deeper = rest
    if key == "*":
        for place, item in enumerate(here if isinstance(here, list) else []):
            _resolve(tree, item, tuple(deeper), (*path, place), folder)
    elif isinstance(here, dict) and key in here:
        if deeper:
            _resolve(tree, here[key], tuple(deeper), (*path, key), folder)
        elif isinstance(text := here[key], str):
            here[key] = str(folder / text)
            if "\0" in text:
                sentence = "holds a NUL character, which no path may"
                tree.problems.append(Problem(tree.place((*path, key)), (*path, key), sentence))


def _find_users(root: dict[str, object], tree: Tree, folder: Path) -> None:
    """Take users.yaml beside the config file; a file that is named or there must be readable."""
    beside = folder / USERS_FILE
    if root.get("users_file") is None and (beside.exists() or beside.is_symlink()):
        root["users_file"] = str(beside)
        tree.places.setdefault(("users_file",), str(beside))
    if not isinstance(named := root.get("users_file"), str) or "\0" in named:
        return
    try:
        with Path(named).open("rb"):
            pass
    except OSError as error:
        sentence = f"{shown(named)} can't be read: {error.strerror}"
        tree.problems.append(Problem(tree.place(("users_file",)), ("users_file",), sentence))


def _validated(tree: Tree, folder: Path) -> Config | None:
    """The config, or None and why in the tree's problems."""
    assert isinstance(tree.root, dict)
    try:
        config = Config.model_validate(tree.root, context=folder)
    except ValidationError as error:
        tree.problems.extend(explain(error, tree, schema()))
        # Config looks for clashes only where all else is right; here all is said at once.
        for path, value, why in clashes(_claims(tree.root.get("devices"))):
            found = "" if path in tree.secrets else f"found {shown(value)}: "
            tree.problems.append(Problem(tree.place(path), path, found + why))
        return None
    if not config.broker.anonymous and config.users_file is None:
        path = ("broker", "anonymous")
        sentence = "false would let nobody in, as there are no users: name a users_file"
        tree.problems.append(Problem(tree.place(path), path, sentence))
    return config


def _claims(devices: object) -> list[Claim]:
    claims = []
    for device in devices if isinstance(devices, list) else []:
        known = device if isinstance(device, dict) else {}
        reader = known.get("reader")
        port = reader.get("port") if isinstance(reader, dict) else None
        line = "any" if isinstance(reader, dict) and reader.get("type") == "modbus" else None
        claims.append(Claim(known.get("name"), known.get("id", known.get("name")), port, line))
    return claims


def _order(problem: Problem) -> tuple[float, str]:
    """By line; what has none, like an environment variable, at the end."""
    line = re.search(r":([0-9]+)$", problem.place)
    return (int(line[1]) if line else float("inf"), problem.place)
