"""`FIELDGATE__WEB__LISTEN=0.0.0.0:8088`: keys of the config, set by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.errors import ConfigError
from gateway.problem import SECRET_KEYS, KeyPath, Problem, dotted
from gateway.yaml_tree import Tree, read_tree

PREFIX = "FIELDGATE__"


def override(tree: Tree, environ: Mapping[str, str], folder: Path) -> None:
    """Graft every variable with our prefix into the tree; what can't be is among its problems.

    Values are YAML; passwords are taken as they stand. A variable for a whole section is applied
    before those for its parts, list items in the order of their numbers.
    """
    variables = [(_parts(name), name) for name in environ if name.startswith(PREFIX)]
    for parts, name in sorted(variables, key=lambda item: (len(item[0]), _numbered(item[0]))):
        branch = _branch(environ[name], parts, name, environ, folder)
        try:
            _graft(tree, parts, branch, name)
        except LookupError as error:
            tree.problems.append(Problem(name, (), str(error.args[0])))


def _parts(name: str) -> list[str]:
    return name.removeprefix(PREFIX).lower().split("__")


def _numbered(parts: list[str]) -> list[tuple[int, str]]:
    return [(int(part) if _is_index(part) else -1, part) for part in parts]


def _is_index(part: str) -> bool:
    return part.isdecimal() and part.isascii() and len(part) <= 6


def _branch(
    text: str, parts: list[str], name: str, environ: Mapping[str, str], folder: Path
) -> Tree:
    if parts[-1] in SECRET_KEYS:
        return Tree(root=text)
    try:
        return read_tree(text, lambda _: name, folder, environ)
    except ConfigError as error:
        return Tree(problems=[Problem("", (), str(error))])


def _graft(tree: Tree, parts: list[str], branch: Tree, name: str) -> None:
    """Put a branch where `parts` say; raises LookupError, in a sentence."""
    if not all(parts):
        raise LookupError(f"names no key, as in {PREFIX}WEB__LISTEN")
    if tree.root is None:
        tree.root = {}
    here: object = tree.root
    path: KeyPath = ()
    for depth, part in enumerate(parts):
        key = _key(here, part, path)
        path = (*path, key)
        last = depth == len(parts) - 1
        new = branch.root if last else _child(here, key)
        if new is None and not last:
            new = [] if _is_index(parts[depth + 1]) else {}
            tree.places[path] = name
        if isinstance(here, dict):
            here[key] = new
        elif isinstance(here, list) and isinstance(key, int):
            here[key:] = [new, *here[key + 1 :]]
        here = new
    _replace_notes(tree, path, branch, name)


def _key(here: object, part: str, path: KeyPath) -> str | int:
    if isinstance(here, dict):
        return part
    if not isinstance(here, list):
        raise LookupError(f"{dotted(path) or 'the config'} is no section and no list")
    if not _is_index(part):
        raise LookupError(f"{dotted(path)} is a list: its items are counted 0, 1, 2, not {part}")
    if int(part) > len(here):
        raise LookupError(f"{dotted((*path, int(part)))} leaves a gap: the next is {len(here)}")
    return int(part)


def _child(here: object, key: str | int) -> object:
    if isinstance(here, dict):
        return here.get(key)
    if isinstance(here, list) and isinstance(key, int) and key < len(here):
        return here[key]
    return None


def _replace_notes(tree: Tree, path: KeyPath, branch: Tree, name: str) -> None:
    """Forget what was noted about the old value, so that errors name the variable instead."""

    def is_kept(other: KeyPath) -> bool:
        return other[: len(path)] != path

    tree.places = {other: place for other, place in tree.places.items() if is_kept(other)}
    tree.secrets = set(filter(is_kept, tree.secrets))
    tree.problems = [problem for problem in tree.problems if is_kept(problem.path)]
    tree.places[path] = name
    tree.secrets.update((*path, *inner) for inner in branch.secrets)
    tree.problems.extend(
        Problem(problem.place, (*path, *problem.path), problem.sentence)
        for problem in branch.problems
    )
