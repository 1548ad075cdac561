"""Finding one's way in a JSON Schema, and saying in words what a part of it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.problem import KeyPath

Node: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where pydantic's `loc` leads: the keys as people wrote them, and the schema on the way.

    `nodes` are the schema's parts from its root to the value. `of_key` says that the error is
    about the last key of `path` itself, not about its value.
    """

    path: KeyPath
    nodes: tuple[Node, ...]
    of_key: bool = False


class Schema:
    """A JSON Schema as pydantic makes them."""

    __slots__ = ("_root",)

    def __init__(self, root: Node) -> None:
        self._root = self._inline(root, root.get("$defs", {}))

    def find(self, loc: KeyPath) -> Place:
        """Follow a `loc`. It also holds the chosen types of unions, which nobody wrote."""
        path: KeyPath = ()
        nodes: tuple[Node, ...] = (self._root,)
        for part in loc:
            node = nodes[-1]
            union = node.get("discriminator", {}).get("mapping", {})
            if part in union:
                nodes = (*nodes[:-1], union[part])
            elif part == "[key]":
                return Place(path, nodes, of_key=True)
            else:
                whole = _section_of(node)
                path, nodes = (*path, part), (*nodes[:-1], whole, _below(whole, part))
        return Place(path, nodes)

    @staticmethod
    def parts(node: Node) -> Iterator[Node]:
        """A part of the schema itself, or what a union may choose from."""
        yield from node.get("discriminator", {}).get("mapping", {"": node}).values()

    def _inline(self, node: Any, definitions: Mapping[str, Any]) -> Any:
        """The schema with every $ref in its place, and `X or null` as X. Models don't recurse."""
        if isinstance(node, list):
            return [self._inline(item, definitions) for item in node]
        if isinstance(node, str) and node.startswith("#/$defs/"):
            return self._inline(definitions[node.removeprefix("#/$defs/")], definitions)
        if not isinstance(node, dict):
            return node
        whole = {
            key: self._inline(value, definitions) for key, value in node.items() if key != "$defs"
        }
        if "$ref" in whole:
            whole = {**whole.pop("$ref"), **whole}
        if "anyOf" in whole:
            choices = [choice for choice in whole["anyOf"] if choice.get("type") != "null"]
            if len(choices) == 1:
                del whole["anyOf"]
                whole = {**choices[0], **whole}
        return whole


def _section_of(node: Node) -> Node:
    """What of a choice has keys: whoever wrote some meant that."""
    choices = node.get("anyOf", ())
    return next((choice for choice in choices if choice.get("type") == "object"), node)


def _below(node: Node, part: str | int) -> Node:
    if isinstance(part, int):
        below = node.get("items", {})
    elif part in node.get("properties", {}):
        below = node["properties"][part]
    else:
        below = next(iter(node.get("patternProperties", {}).values()), None)
        below = below or node.get("additionalProperties") or {}
    return below if isinstance(below, dict) else {}


_PATTERNS = {
    r"^[a-z0-9_-]+$": "small letters, digits, _ and -",
    r"^[a-z0-9_-]+(/[a-z0-9_-]+)*$": "small letters, digits, _ and -, with / between levels",
}


def expectation(node: Node, *, sized: bool = False) -> str:
    """What a part of the schema asks for, in words; "" where it asks for nothing.

    How long it may be is said only if `sized`: mostly it is beside the point.
    """
    if types := node.get("discriminator", {}).get("mapping"):
        return f"a section with type: {_choice(list(types))}"
    if "anyOf" in node:
        return " or ".join(expectation(choice) for choice in node["anyOf"])
    if choices := node.get("enum", [node["const"]] if "const" in node else []):
        return _choice(choices)
    match node.get("type"):
        case "integer":
            return "a whole number" + _range(node)
        case "number":
            return "a number" + _range(node)
        case "boolean":
            return "true or false"
        case "string":
            length = _counted(node.get("minLength"), node.get("maxLength"), "characters")
            return _text(node) + (length if sized else _example(node))
        case "array":
            count = _counted(node.get("minItems"), node.get("maxItems"), "items")
            return "a list" + (count if sized else _example(node))
        case "object":
            count = _counted(node.get("minProperties"), node.get("maxProperties"), "keys")
            return "a section (key: value)" + (count if sized else "")
    return ""


def _text(node: Node) -> str:
    if node.get("format") == "path":
        return "a path"
    if pattern := node.get("pattern"):
        return _PATTERNS.get(pattern, f"text like {pattern}")
    return "text"


def _example(node: Node) -> str:
    examples = node.get("examples", ())
    return f", as in {examples[0]}" if examples else ""


def _range(node: Node) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    bounds = [
        f"{word} {bound}"
        for word, bound in (
            ("at least", low),
            ("above", above),
            ("at most", high),
            ("below", below),
        )
        if bound is not None
    ]
    return " " + " and ".join(bounds) if bounds else ""


def _counted(low: int | None, high: int | None, what: str) -> str:
    if low is not None and low == high:
        return f" of exactly {low} {what}"
    if low and high:
        return f" of {low} to {high} {what}"
    if low:
        return f" of at least {low} {what}"
    return f" of at most {high} {what}" if high else ""


def _choice(choices: list[Any]) -> str:
    words = [str(choice).lower() if isinstance(choice, bool) else str(choice) for choice in choices]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
