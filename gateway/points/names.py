"""From the hardware's names to points. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping

from gateway.measurement import Value

RESERVED_POINTS = frozenset(
    {"availability", "set", "get", "result", "backlog", "time", "stale", "transaction"}
)
"""Topic levels under a device that are the gateway's own."""

MAX_UNLISTED_POINTS = 64
"""Points a device may have without naming them: a device that makes up names fills no broker."""

MAX_SLUG_CHARACTERS = 64
MAX_CACHED_FIELDS = 1024

_NOT_SLUG = re.compile(r"[^a-z0-9-]+")


def slug(field: str) -> str:
    """A field's name as a point's: lower case, each run of other characters one `_`.

    Underscores at the ends are taken away, a reserved name gets `_value`, and what is left of
    64 characters is cut; empty where nothing is left at all.
    """
    name = _NOT_SLUG.sub("_", field[: 4 * MAX_SLUG_CHARACTERS].lower()).strip("_")
    name = name[:MAX_SLUG_CHARACTERS].rstrip("_")
    return f"{name}_value" if name in RESERVED_POINTS else name


class PointNames:
    """Which point each field of one device is.

    A listed point takes every field with its slug. Where two fields of one measurement give the
    same point, the later one wins. Of points that are not listed, the first 64 to come are
    taken, or none with `only_listed`.
    """

    __slots__ = ("_listed", "_only_listed", "_points", "_unlisted", "dropped")

    def __init__(self, listed: Collection[str] = (), *, only_listed: bool = False) -> None:
        self._listed = frozenset(listed)
        self._only_listed = only_listed
        self._unlisted: set[str] = set()
        self._points: dict[str, str] = {}
        self.dropped: Counter[str] = Counter()
        """How many values had no point, by reason: `no_name`, `too_many_points`, `not_listed`."""

    @property
    def unlisted(self) -> frozenset[str]:
        """The points so far that nobody listed."""
        return frozenset(self._unlisted)

    def of(self, fields: Mapping[str, Value]) -> dict[str, Value]:
        """The points of one measurement, in the order of its fields."""
        points: dict[str, Value] = {}
        for field, value in fields.items():
            point = self._points.get(field) or self._find(field)
            if point is not None:
                points[point] = value
        return points

    def _find(self, field: str) -> str | None:
        point = field if field in self._listed else slug(field)
        if reason := self._reason_against(point):
            self.dropped[reason] += 1
            return None
        if point not in self._listed:
            self._unlisted.add(point)
        if len(self._points) < MAX_CACHED_FIELDS:
            self._points[field] = point
        return point

    def _reason_against(self, point: str) -> str:
        if not point:
            return "no_name"
        if point in self._listed or point in self._unlisted:
            return ""
        if self._only_listed:
            return "not_listed"
        return "too_many_points" if len(self._unlisted) >= MAX_UNLISTED_POINTS else ""
