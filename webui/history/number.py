"""From payloads to what is recorded: numbers, and the times that come with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

MOST = 1e300
"""Beyond this, either way, a number is not recorded: a sum of a year of them must stay finite."""

MAX_NUMBER_BYTES = 40
MAX_JSON_BYTES = 64 * 1024
"""A longer payload is not looked into: to parse it would keep the loop busy for milliseconds."""

EARLIEST_MS = 946_684_800_000
"""2000-01-01: a clock that shows an earlier time has not been set."""

AHEAD_MS = 60_000
"""How far a sample's own time may be ahead of ours: clocks differ, but nothing comes from later."""

_TRUTH = {b"true": 1.0, b"false": 0.0}


def number_of(payload: bytes) -> float | None:
    """The number that a bare payload is, 1 for true and 0 for false; None for anything else."""
    if len(payload) > MAX_NUMBER_BYTES:
        return None
    try:
        value = float(payload)
    except ValueError:
        return _TRUTH.get(payload)
    if -MOST <= value <= MOST and b"_" not in payload:  # Python reads 1_000 as a number
        return value
    return None


def recordable(value: object) -> float | None:
    """The number that a JSON value is; None for text, null, lists and what is not finite."""
    if not isinstance(value, bool | int | float):
        return None
    return float(value) if -MOST <= value <= MOST else None


def json_of(payload: bytes) -> object:
    """What a JSON payload holds; None where it is none, or too long to be looked into."""
    if len(payload) > MAX_JSON_BYTES:
        return None
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def fields_of(said: Mapping[str, object], fields: Iterable[str]) -> dict[str, float]:
    """Those of the fields that are numbers; `a.b` is the field b of the object a."""
    found = {}
    for field in fields:
        value = recordable(_dig(said, field))
        if value is not None:
            found[field] = value
    return found


def moment_of(value: object, now_ms: int) -> int | None:
    """A time as ms since 1970: from ISO 8601, UTC where it names no zone, or from ms since 1970.

    None for anything else, for a time before 2000 and for one that is still to come.
    """
    time_ms: float
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        time_ms = moment.timestamp() * 1000
    elif isinstance(value, int | float):
        time_ms = value
    else:
        return None
    return round(time_ms) if EARLIEST_MS <= time_ms <= now_ms + AHEAD_MS else None


def _dig(said: object, field: str) -> object:
    if not isinstance(said, Mapping):
        return None
    if field in said:
        return said[field]
    head, dot, rest = field.partition(".")
    return _dig(said.get(head), rest) if dot else None
