"""`FIELDGATE__WEB__LISTEN=0.0.0.0:8088`: keys of the config, set by environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.problem import SECRET_KEYS, KeyPath, Problem, UnreadableError, dotted
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
    except UnreadableError as error:
        return Tree(problems=[error.problem])


def _graft(tree: Tree, parts: list[str], branch: Tree, name: str) -> None:
    """Put a branch where `parts` say; raises LookupError, in a sentence, and changes nothing."""
    if not all(parts):
        raise LookupError(f"names no key, as in {PREFIX}WEB__LISTEN")
    root = {} if tree.root is None else tree.root
    tree.root, path = _grafted(root, parts, branch.root, ())
    _replace_notes(tree, path, branch, name)


def _grafted(here: object, parts: list[str], new: object, path: KeyPath) -> tuple[object, KeyPath]:
    """`here` with the new value inside, and the whole path to it."""
    if not parts:
        return new, path
    part, *rest = parts
    if here is None:
        here = [] if _is_index(part) else {}
    if isinstance(here, dict):
        value, whole = _grafted(here.get(part), rest, new, (*path, part))
        return {**here, part: value}, whole
    if not isinstance(here, list):
        raise LookupError(f"{dotted(path) or 'the config'} is no section and no list")
    if not _is_index(part):
        raise LookupError(f"{dotted(path)} is a list: its items are counted 0, 1, 2, not {part}")
    index = int(part)
    if index > len(here):
        raise LookupError(f"{dotted((*path, index))} leaves a gap: the next is {len(here)}")
    old = here[index] if index < len(here) else None
    value, whole = _grafted(old, rest, new, (*path, index))
    return [*here[:index], value, *here[index + 1 :]], whole


def _replace_notes(tree: Tree, path: KeyPath, branch: Tree, name: str) -> None:
    """Forget what was noted about the old value, so that errors name the variable instead."""

    def is_kept(other: KeyPath) -> bool:
        return other[: len(path)] != path

    tree.places = {other: place for other, place in tree.places.items() if is_kept(other)}
    tree.secrets = set(filter(is_kept, tree.secrets))
    tree.problems = [problem for problem in tree.problems if is_kept(problem.path)]
    tree.places[path] = name
    for length in range(1, len(path)):
        tree.places.setdefault(path[:length], name)
    tree.secrets.update((*path, *inner) for inner in branch.secrets)
    tree.problems.extend(
        Problem(problem.place, (*path, *problem.path), problem.sentence)
        for problem in branch.problems
    )
