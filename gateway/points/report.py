"""When a value is published: on change, every so often, at most so many a second. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from gateway.measurement import Value
from gateway.section import Section

NEVER_S = math.inf

MAX_SILENCE_S = 31 * 86_400


def _check_stale_after(given: Any) -> float | str:
    if given in ("learned", "never"):
        return str(given)
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if is_number and 1 <= given <= MAX_SILENCE_S:
        return float(given)
    raise ValueError(f"must be learned, never, or seconds from 1 to {MAX_SILENCE_S}")


StaleAfter = Annotated[
    float | Literal["learned", "never"],
    PlainValidator(_check_stale_after),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["learned", "never"]},
                {"type": "number", "minimum": 1, "maximum": MAX_SILENCE_S},
            ]
        }
    ),
]


class ReportConfig(Section):
    """When values are published: each that comes, where nothing else is said."""

    on_change: bool | None = Field(
        default=None, description="Publish a value that differs from the one published before."
    )
    every_s: Annotated[float, Field(ge=0.1, le=86_400)] | None = Field(
        default=None,
        description="Publish the newest value every so many seconds; with on_change, both.",
    )
    max_per_s: Annotated[float, Field(ge=0.1, le=1_000)] | None = Field(
        default=None,
        description="Publish at most so often a second: the newest value, never later than that.",
    )
    dead_band: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None,
        description="How far a number must move to be a change, in its unit.",
        examples=[0.2],
    )
    dead_band_percent: Annotated[float, Field(gt=0, le=100)] | None = Field(
        default=None,
        description="The same in percent of the value published before; of both the larger counts.",
    )
    stale_after_s: StaleAfter | None = Field(
        default=None,
        description="How long it may be silent before its value is stale: learned from how often"
        " it comes, never, or so many seconds.",
    )

    @model_validator(mode="after")
    def _dead_bands_are_about_changes(self) -> ReportConfig:
        if self.on_change is False and self.has_dead_band:
            raise ValueError("a dead-band says what a change is: take it or on_change: false away")
        return self

    @property
    def has_dead_band(self) -> bool:
        return self.dead_band is not None or self.dead_band_percent is not None

    def over(self, others: ReportConfig) -> ReportConfig:
        """This section, and what another says of which this one doesn't speak."""
        own, inherited = self.model_dump(exclude_none=True), others.model_dump(exclude_none=True)
        if self.on_change is False:
            inherited.pop("dead_band", None)
            inherited.pop("dead_band_percent", None)
        if self.has_dead_band:
            inherited.pop("on_change", None)
        return ReportConfig.model_validate({**inherited, **own})


@dataclass(frozen=True, slots=True)
class Policy:
    """What a `report` section asks for; all 0 and False is: each value that comes."""

    on_change: bool = False
    every_s: float = 0.0
    apart_s: float = 0.0
    """The least time between two reports."""
    dead_band: float = 0.0
    dead_band_percent: float = 0.0

    @classmethod
    def of(cls, config: ReportConfig) -> Policy:
        return cls(
            on_change=config.on_change or config.has_dead_band,
            every_s=config.every_s or 0.0,
            apart_s=1 / config.max_per_s if config.max_per_s else 0.0,
            dead_band=config.dead_band or 0.0,
            dead_band_percent=config.dead_band_percent or 0.0,
        )

    @property
    def held_back_s(self) -> float:
        """How long it may hold back a value that did not change, while it must not repeat it."""
        return max(self.apart_s, 0.0 if self.on_change else self.every_s)

    def is_change(self, before: Value, after: Value) -> bool:
        """Whether a value differs from the one reported before, by more than the dead-band."""
        if not (_is_number(before) and _is_number(after)):
            return type(before) is not type(after) or before != after
        assert isinstance(before, int | float)
        assert isinstance(after, int | float)
        if not self.dead_band and not self.dead_band_percent:
            return before != after
        try:
            band = max(self.dead_band, abs(before) * self.dead_band_percent / 100)
            noise = NOISE * max(abs(before), abs(after))
            return abs(after - before) > band + noise
        except OverflowError:  # larger than any float
            return before != after


NOISE = 1e-12
"""Of the size of the values: 0.8 - 0.6 is 0.2, whatever binary fractions make of it."""


class Report:
    """Decides value by value. All times are of one monotonic clock, in seconds.

    A value is offered; either it is to be published now, or `due_s` says when to ask `release`.
    At most one value waits, the newest, so there is nothing to bound; and no offer moves away the
    time at which one is due, so a point that never pauses is reported as often as it may be.

    `repeat_s` is how soon a value that keeps coming is reported again though it is no change.
    """

    __slots__ = ("_newest", "_policy", "_reported", "_reported_s", "due_s", "repeat_s")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._newest: Value = None
        self._reported: Value = None
        self._reported_s = -math.inf
        self.due_s = NEVER_S
        self.repeat_s = NEVER_S

    def offer(self, value: Value, now_s: float) -> bool:
        """Take a value that came; True when it is to be published now."""
        self._newest = value
        return self._decide(now_s)

    def release(self, now_s: float) -> bool:
        """True when the newest value that was offered is to be published now."""
        return self.due_s <= now_s and self._decide(now_s)

    def _decide(self, now_s: float) -> bool:
        self.due_s = max(self._reported_s + self._policy.apart_s, self._wanted_from_s())
        if self.due_s > now_s:
            return False
        self._reported, self._reported_s = self._newest, now_s
        self.due_s = NEVER_S
        return True

    def _wanted_from_s(self) -> float:
        policy = self._policy
        if policy.on_change:
            if policy.is_change(self._reported, self._newest):
                return -math.inf
        elif not policy.every_s:
            return -math.inf
        return self._reported_s + min(policy.every_s or NEVER_S, self.repeat_s)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
