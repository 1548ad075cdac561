"""What pydantic found wrong, as sentences that somebody can follow who never saw a schema.

What would be right is said from the JSON Schema, so a new key or section needs nothing here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.later import is_planned_key, is_planned_value
from gateway.problem import SECRET_KEYS, KeyPath, Problem, shown
from gateway.schema import Node, Schema, expectation
from gateway.yaml_tree import Tree


def explain(error: ValidationError, tree: Tree, schema: Schema) -> Iterator[Problem]:
    """A problem for each error, but none where the tree has one for the same value already."""
    odd = {problem.path for problem in tree.problems}
    for details in error.errors(include_url=False):
        finding = _Finding(details, tree, schema)
        if details["type"] == "default_factory_not_called":
            continue  # follows from another error
        if details.get("input") is None and finding.path in odd:
            continue  # None stands in for what could not be read
        yield Problem(tree.place(finding.path), finding.path, finding.sentence())


_AGAINST_SCHEMA = re.compile(
    r".*(_type|_parsing|_too_short|_too_long|_mismatch|_from_float)"
    r"|literal_error|greater_than.*|less_than.*|finite_number|too_long|too_short"
)
"""Errors that say no more than: this is not what the schema describes."""


class _Finding:
    """One error, beside the part of the schema that speaks of its value."""

    __slots__ = ("_details", "_key", "_node", "_parents", "_secret", "path")

    def __init__(self, details: ErrorDetails, tree: Tree, schema: Schema) -> None:
        place = schema.find(details["loc"])
        self._details = details
        self._node = place.nodes[-1]
        self._parents = place.nodes[:-1]
        self._key = place.of_key
        self.path: KeyPath = place.path
        if details["type"] in ("union_tag_invalid", "union_tag_not_found"):
            self.path = (*place.path, details["ctx"]["discriminator"].strip("'"))
        self._secret = self.path in tree.secrets or any(part in SECRET_KEYS for part in self.path)

    def sentence(self) -> str:
        kind = self._details["type"]
        context = self._details.get("ctx", {})
        match kind:
            case "missing":
                return f"is missing; expected {expectation(self._node)}"
            case "extra_forbidden":
                return self._unknown_key(str(self.path[-1]))
            case "union_tag_not_found":
                return f"is missing; expected one of {_listed(self._types())}"
            case "union_tag_invalid":
                return self._not_among(context["tag"], self._types())
            case "value_error" | "assertion_error":
                return self._refused(str(context["error"]))
            case "clash":
                return f"{self._found()}: {context['why']}"
            case "literal_error" if isinstance(self._details["input"], str):
                if choices := [c for c in self._choices() if isinstance(c, str)]:
                    return self._not_among(self._details["input"], choices)
        if _AGAINST_SCHEMA.fullmatch(kind) and (expected := self._expected()):
            return f"{self._found()}; expected {expected}{self._remedy()}"
        return self._refused(self._details["msg"])

    def _found(self) -> str:
        if self._secret:
            return "found a value that is not shown"
        name = "the name " if self._key else ""
        return f"found {name}{shown(self._details['input'])}"

    def _expected(self) -> str:
        if self._key:
            pattern = self._details.get("ctx", {}).get("pattern")
            return expectation({"type": "string", **({"pattern": pattern} if pattern else {})})
        sized = self._details["type"].endswith(("too_long", "too_short"))
        return expectation(self._node, sized=sized)

    def _refused(self, why: str) -> str:
        """A validator's own sentence, which may show the value itself."""
        given = self._details["input"]
        if self._secret and str(given) and str(given) in why:
            return f"{self._found()}; expected {expectation(self._node)}"
        if isinstance(given, dict | list):
            return why
        return f"{self._found()}: {why}"

    def _remedy(self) -> str:
        given, kind = self._details["input"], self._details["type"]
        if given is None:
            required = self._parents[-1].get("required", ()) if self._parents else ()
            name = self.path[-1] if self.path else ""
            return "" if name in required else "; take the key away to have the default"
        if kind == "string_type" and isinstance(given, bool | int | float):
            if "examples" in self._node:
                return ""  # it is not text that is missing
            return "; put it in quotes" + ("" if self._secret else f": '{shown(given)}'")
        if kind == "list_type" and isinstance(given, str) and not self._secret:
            return f"; write it as a list: [{shown(given)}]"
        if kind == "string_pattern_mismatch" and isinstance(given, str) and not self._secret:
            slug = re.sub(r"[^a-z0-9]+", "_", given.lower()).strip("_")
            return f", as in {slug}" if slug and len(slug) <= len(given) else ""
        return ""

    def _types(self) -> list[str]:
        return list(self._node.get("discriminator", {}).get("mapping", {}))

    def _choices(self) -> list[object]:
        return list(self._node.get("enum", [self._node["const"]] if "const" in self._node else []))

    def _not_among(self, given: object, choices: list[str]) -> str:
        if self._secret:
            return f"{self._found()}; expected one of {_listed(choices)}"
        if is_planned_value(self.path, given):
            return f"{given} is not there yet in this version; expected one of {_listed(choices)}"
        nearest = _nearest(str(given), choices)
        return f"found {shown(given)}; expected one of {_listed(choices)}{nearest}"

    def _unknown_key(self, key: str) -> str:
        if is_planned_key(self.path):
            return "is not there yet in this version: take it away"
        section = self._parents[-1] if self._parents else {}
        allowed = list(section.get("properties", {}))
        nearest = self._elsewhere(key, section) or _nearest(key, allowed)
        return f"unknown key{nearest} (allowed: {', '.join(allowed)})"

    def _elsewhere(self, key: str, section: Node) -> str:
        """Where a key belongs that stands one level too high or too low, as by its indentation."""
        for name, inner in section.get("properties", {}).items():
            if any(key in part.get("properties", {}) for part in Schema.parts(inner)):
                return f"; it belongs into {name}:"
        if any(key in outer.get("properties", {}) for outer in self._parents[:-1]):
            return "; it belongs further out: look at its indentation"
        return ""


def _nearest(given: str, choices: list[str]) -> str:
    found = difflib.get_close_matches(given.lower(), choices, n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""


def _listed(choices: list[Any]) -> str:
    return ", ".join(map(str, choices))
