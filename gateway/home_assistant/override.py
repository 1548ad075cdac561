"""What the config may say of a point's entity beyond what follows from the point. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PLATFORMS = (
    "sensor",
    "binary_sensor",
    "switch",
    "number",
    "select",
    "button",
    "light",
    "text",
    "event",
)
"""Those of which we know what they need."""


def check_entity(given: object) -> Mapping[str, Any] | None:
    """A point's `home_assistant`: keys of the entity, or None to have none; raises ValueError."""
    if given is False:
        return None
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise ValueError("must be a section of Home Assistant's keys, or false to leave it out")
    if "unique_id" in given:
        raise ValueError("unique_id is ours to give: it keeps the entity over a rename")
    if given.get("platform", "sensor") not in PLATFORMS:
        raise ValueError(f"platform must be one of {', '.join(PLATFORMS)}")
    return given
