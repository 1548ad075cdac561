"""`<base>/<device>/backlog`: what a device measured while nobody could be told. Pure.

The payload is `{"time": "2026-11-21T08:15:30.250Z", "temperature": 21.5, "pump": true}` or a list
of these, at most 64 KiB: each measurement with its own time (ISO 8601, UTC where it names no zone,
or ms since 1970), and points by name. Text, null and lists are passed over; a measurement whose
time is missing, before 2000 or still to come is refused, alone. Whoever isn't sure whether a
message has arrived sends it again: what has been recorded is recognised.
"""

from __future__ import annotations

from dataclasses import dataclass

from webui.history.number import json_of, moment_of, recordable
from webui.history.series import is_point


@dataclass(frozen=True, slots=True)
class LateMeasurement:
    """What a device measured at one moment: ms since 1970, and numbers by point."""

    time_ms: int
    points: dict[str, float]


def measurements(payload: bytes, now_ms: int) -> tuple[list[LateMeasurement], int]:
    """The measurements of one backlog message, and how many had to be refused."""
    said = json_of(payload)
    each = said if isinstance(said, list) else [said]
    found = [measured for one in each if (measured := _measurement(one, now_ms)) is not None]
    return found, len(each) - len(found)


def _measurement(said: object, now_ms: int) -> LateMeasurement | None:
    time_ms = moment_of(said.get("time"), now_ms) if isinstance(said, dict) else None
    if time_ms is None:
        return None
    assert isinstance(said, dict)
    numbers = {
        point: recordable(value)
        for point, value in said.items()
        if point != "time" and is_point(point)
    }
    points = {point: value for point, value in numbers.items() if value is not None}
    return LateMeasurement(time_ms, points)
