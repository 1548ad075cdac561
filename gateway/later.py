"""What the documents promise and this version doesn't do yet: so that nobody looks for a typo."""

from __future__ import annotations

from gateway.problem import KeyPath

PLANNED_KEYS = frozenset(
    {
        "web.tls",
    }
)

PLANNED_VALUES = {
    "devices.*.reader.type": {"mqtt_source"},
}


def is_planned_key(path: KeyPath) -> bool:
    """Whether a key that is unknown today will be known."""
    return _fits(path, PLANNED_KEYS)


def is_planned_value(path: KeyPath, value: object) -> bool:
    """Whether a value that is refused today will be taken."""
    return any(_fits(path, {key}) for key, values in PLANNED_VALUES.items() if value in values)


def _fits(path: KeyPath, patterns: frozenset[str] | set[str]) -> bool:
    return any(
        len(levels) == len(path)
        and all(level in ("*", str(part)) for level, part in zip(levels, path, strict=True))
        for levels in (pattern.split(".") for pattern in patterns)
    )
