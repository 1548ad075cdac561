"""JSON Schemas of our own types, for the documents that describe them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas of some types, and those that they refer to, by name."""

    by_type: dict[Any, Json]
    components: dict[str, Json]

    def of(self, kind: Any) -> Json:
        """The schema of one of them, usually a reference."""
        return self.by_type[kind]


def schemas_of(kinds: Sequence[Any], reference: str) -> Schemas:
    """The schemas of types that msgspec knows; `reference` says where `{name}` will stand."""
    described, components = msgspec.json.schema_components(kinds, ref_template=reference)
    for schema in components.values():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    return Schemas(dict(zip(kinds, described, strict=True)), components)
