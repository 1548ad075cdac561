"""What hardware says, once it has been read, framed and decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Value = bool | int | float | str | None
"""What a point can hold. None, NaN and infinity are all "no value"."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a device said at one moment: decoded field → value, under the hardware's own names.

    `time_ms` is when it was read, in ms since 1970, UTC.
    """

    time_ms: int
    fields: Mapping[str, Value]
