"""YAML 1.2 as a tree of plain values that knows where each one stands. All bounded.

The nodes that ruamel.yaml composes are made into values here and not by its constructors: so
every value has its line, all double keys and bad tags are found at once, and a small file can't
grow into a large one through its aliases.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.problem import SECRET_KEYS, KeyPath, Problem, UnreadableError, shown
from gateway.yaml_nodes import MAX_DEPTH, TOO_DEEP, Where, compose

MAX_NODES = 100_000
"""Values in one tree, aliases counted as often as they are used."""

MAX_DIGITS = 64
MAX_SECRET_BYTES = 65_536
MAX_PATH = 4_096
"""Characters of a path that an error shows: no system takes a longer one."""

_STANDARD = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Tree:
    """Plain values, where each stands, which must not be shown, and what is wrong so far."""

    root: object = None
    places: dict[KeyPath, str] = field(default_factory=dict)
    secrets: set[KeyPath] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath) -> str:
        """Where the value stands, or else the nearest thing around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, "")


def read_tree(text: str, where: Where, folder: Path, environ: Mapping[str, str]) -> Tree:
    """The tree of a YAML text; `!file` is relative to `folder`.

    Raises UnreadableError where the text is no YAML or too large as a tree; what else is wrong,
    like a key that stands twice, is in the tree's problems.
    """
    tree = Tree(places={(): where(1)})
    if (node := compose(text, where)) is not None:
        tree.root = _Growth(tree, where, folder, environ).value(node, ())
    return tree


class _Growth:
    """Makes values of nodes; one use."""

    __slots__ = ("_count", "_environ", "_folder", "_tree", "_where")

    def __init__(self, tree: Tree, where: Where, folder: Path, environ: Mapping[str, str]) -> None:
        self._tree = tree
        self._where = where
        self._folder = folder
        self._environ = environ
        self._count = 0

    def value(self, node: Node, path: KeyPath) -> object:
        self._count_in(node, len(path))
        self._tree.places.setdefault(path, self._place(node))
        if node.tag in ("!env", "!file"):
            return self._from_elsewhere(node, path)
        match node:
            case MappingNode() if _tag(node) == "!!map":
                return self._mapping(node, path)
            case SequenceNode() if _tag(node) == "!!seq":
                return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
            case ScalarNode():
                return self._scalar(node, path)
        self._unknown_tag(node, path)
        return None

    def _count_in(self, node: Node, depth: int) -> None:
        self._count += 1
        if self._count > MAX_NODES:
            sentence = f"more than {MAX_NODES} values, aliases included: make the file smaller"
            raise UnreadableError(Problem(self._place(node), (), sentence))
        if depth > MAX_DEPTH:
            raise UnreadableError(Problem(self._place(node), (), TOO_DEEP))

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, object]:
        mapping: dict[str, object] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in _pairs(node):
            if not isinstance(key_node, ScalarNode) or not _tag(key_node).startswith("!!"):
                self._odd(key_node, path, "a key here is not plain text: write `key: value`")
                continue
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in lines:
                sentence = f"stands twice (first in line {lines[key]}): keep one"
                self._odd(key_node, (*path, key), sentence)
                continue
            lines[key] = line
            self._add(mapping, key_node, value_node, path)
        self._merge(node, mapping, path, len(path))
        return mapping

    def _merge(
        self, node: MappingNode, mapping: dict[str, object], path: KeyPath, depth: int
    ) -> None:
        """`<<: *defaults`: what the section says itself goes first, then the earlier source."""
        for merged in [value for key, value in node.value if _tag(key) == "!!merge"]:
            for source in merged.value if isinstance(merged, SequenceNode) else [merged]:
                self._count_in(source, depth)
                if not isinstance(source, MappingNode):
                    self._odd(source, path, "<< takes a section, as in <<: *defaults")
                    continue
                for key_node, value_node in _pairs(source):
                    if str(key_node.value) not in mapping:
                        self._add(mapping, key_node, value_node, path)
                self._merge(source, mapping, path, depth + 1)

    def _add(self, mapping: dict[str, object], key: Node, value: Node, path: KeyPath) -> None:
        name = str(key.value)
        self._tree.places[(*path, name)] = self._place(key)
        mapping[name] = self.value(value, (*path, name))

    def _scalar(self, node: ScalarNode, path: KeyPath) -> object:
        text = str(node.value)
        tag = _tag(node)
        try:
            match tag:
                case "!!str" | "!!timestamp" | "!!merge":  # no key of ours is a date
                    return _joined(text)
                case "!!null":
                    return None
                case "!!bool":
                    return _BOOLS[text.lower()]
                case "!!int" | "!!float" if len(text) > MAX_DIGITS:
                    self._odd(node, path, f"a number of {len(text)} characters is too long")
                case "!!int":
                    return _integer(text.replace("_", ""))
                case "!!float":
                    return float(re.sub(r"\.(inf|nan)$", r"\1", text.replace("_", "").lower()))
                case _:
                    self._unknown_tag(node, path)
        except UnicodeError:
            self._odd(node, path, "holds half a surrogate pair, which is no text")
        except (ValueError, KeyError):
            self._odd(node, path, f"found {shown(text)}, which is no {tag}")
        return None

    def _from_elsewhere(self, node: Node, path: KeyPath) -> str | None:
        """The text that a tag stands for. It may be a secret: no error ever shows it."""
        self._tree.secrets.add(path)
        if not isinstance(node, ScalarNode) or not node.value:
            example = "!env MQTT_PASSWORD" if node.tag == "!env" else "!file /run/secrets/mqtt"
            self._odd(node, path, f"{node.tag} takes one name, as in {example}")
        elif node.tag == "!env":
            given = self._environ.get(node.value)
            if given is None:
                why = "there is no such environment variable"
            elif _is_text(given):
                return given
            else:
                why = "is no UTF-8 text"
            self._odd(node, path, f"!env {shown(node.value)}: {why}")
        else:
            file = self._folder / node.value
            try:
                return _secret(file)
            except (OSError, ValueError) as error:
                why = (error.strerror if isinstance(error, OSError) else None) or str(error)
                self._odd(node, path, f"!file {str(file)[:MAX_PATH]!r}: {why}")
        return None

    def _unknown_tag(self, node: Node, path: KeyPath) -> None:
        tag = "that is not shown" if path and path[-1] in SECRET_KEYS else shown(_tag(node))
        sentence = f"unknown tag {tag}: put text that begins with ! in quotes; tags are !env, !file"
        self._odd(node, path, sentence)

    def _odd(self, node: Node, path: KeyPath, sentence: str) -> None:
        """Note what is wrong; None stands in for the value."""
        self._tree.problems.append(Problem(self._place(node), path, sentence))

    def _place(self, node: Node) -> str:
        return self._where(node.start_mark.line + 1)


_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
"""Only true and false in YAML 1.2; the others where a file begins with %YAML 1.1."""


def _integer(text: str) -> int:
    return int(text, 0 if text.lstrip("+-")[1:2].isalpha() else 10)  # 0o17, 0x1f; 0777 is 777


def _pairs(node: MappingNode) -> list[tuple[Node, Node]]:
    return [(key, value) for key, value in node.value if _tag(key) != "!!merge"]


def _joined(text: str) -> str:
    """Text in which a pair of escapes, as JSON writes them, is the one character that it means."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tag(node: Node) -> str:
    return str(node.tag).replace(_STANDARD, "!!")


def _secret(file: Path) -> str:
    """What a small text file holds, without the line end at its end."""
    if not stat.S_ISREG(file.stat().st_mode):
        raise ValueError("is no file")
    with file.open("rb") as opened:
        content = opened.read(MAX_SECRET_BYTES + 1)
    if len(content) > MAX_SECRET_BYTES:
        raise ValueError(f"holds more than {MAX_SECRET_BYTES} bytes")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("is no UTF-8 text") from None
