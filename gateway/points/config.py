"""What `fieldgate.yaml` may say of a point: what its value means, and when it is published."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, model_validator

from gateway.home_assistant.override import check_entity
from gateway.points.names import MAX_SLUG_CHARACTERS
from gateway.points.report import ReportConfig
from gateway.points.writing import Write, check_write
from gateway.section import Section

Slug = Annotated[str, Field(pattern=r"^[a-z0-9_-]+$", max_length=MAX_SLUG_CHARACTERS)]

PointType = Literal["number", "boolean", "text", "enum", "event", "button"]

MAX_OPTIONS = 64


def _check_scale(scale: float) -> float:
    if not scale:
        raise ValueError("makes every value the same: take another")
    return scale


def _check_invalid(given: object) -> object:
    if isinstance(given, str | bool | int) or (isinstance(given, float) and math.isfinite(given)):
        return given
    raise ValueError("must be a value as the hardware says it, as in 32767 or ERR")


def _check_options(given: object) -> Mapping[str, str]:
    """A list of texts, or a section from what the hardware says to texts; always the latter."""
    if isinstance(given, list):
        given = {option: option for option in given} if _are_texts(given) else None
    if not isinstance(given, dict) or not _are_texts(given.values()) or not given:
        raise ValueError(
            "must be a list of texts, as in [auto, manual], or a section from what the hardware"
            " says to texts, as in {0: auto, 1: manual}"
        )
    if len(given) > MAX_OPTIONS:
        raise ValueError(f"holds {len(given)} options; at most {MAX_OPTIONS} are allowed")
    return given


def _are_texts(values: Any) -> bool:
    return all(isinstance(value, str) and 0 < len(value) <= 100 for value in values)


Invalid = Annotated[
    bool | int | float | str,
    PlainValidator(_check_invalid),
    WithJsonSchema({"type": ["boolean", "number", "string"]}),
]
Options = Annotated[
    Mapping[str, str],
    PlainValidator(_check_options),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string"}, "maxItems": MAX_OPTIONS},
                {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "maxProperties": MAX_OPTIONS,
                },
            ]
        }
    ),
]


_FOR_NUMBERS = ("scale", "offset", "decimals", "unit", "state_class", "min", "max", "step")
"""Keys that make a point without a type a number."""


class PointConfig(Section):
    """One point: what its value means. All may be left out."""

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None,
        description="What people read.",
        examples=["Flow temperature"],
    )
    type: PointType | None = Field(
        default=None,
        description="What its values are; where not given, whatever comes. An event is a moment,"
        " as of a button: published each time it comes, and never retained. A button has no value:"
        " it is only written.",
    )
    unit: Annotated[str, Field(max_length=32)] | None = Field(
        default=None,
        description="The unit of the value.",
        examples=["°C"],
    )
    device_class: Slug | None = Field(
        default=None,
        description="Home Assistant's device class.",
        examples=["temperature"],
    )
    state_class: Literal["measurement", "total", "total_increasing"] | None = Field(
        default=None, description="Home Assistant's state class."
    )
    options: Options | None = Field(
        default=None,
        description="The texts that an enum or event may be: a list, or a section from what the"
        " hardware says to texts.",
    )
    invalid: Annotated[list[Invalid], Field(max_length=64)] = Field(
        default=[],
        description="What the hardware says (before scale) where it has no value.",
        examples=[[32767, -1]],
    )
    scale: Annotated[float, Field(allow_inf_nan=False), AfterValidator(_check_scale)] = Field(
        default=1.0, description="What a number is multiplied with."
    )
    offset: Annotated[float, Field(allow_inf_nan=False)] = Field(
        default=0.0, description="What is added after that."
    )
    decimals: Annotated[int, Field(ge=0, le=12)] | None = Field(
        default=None, description="How many decimals a number is rounded to."
    )
    write: Annotated[
        Write | None,
        PlainValidator(check_write),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": ["string", "boolean", "null"]},
                    {"type": "object", "additionalProperties": {"type": "string"}},
                ]
            }
        ),
    ] = Field(
        default=None,
        description="Makes it writable: what to send, with {value} for the wish, or a section from"
        " values to what to send; true for reader modbus.",
        examples=["PUMP {value}\n"],
    )
    min: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        default=None, description="The least number that may be written."
    )
    max: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        default=None, description="The greatest number that may be written."
    )
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="From one number to the next on a slider."
    )
    confirm: bool = Field(
        default=True,
        description="Wait until the hardware says the value back; false where it never does.",
    )
    report: ReportConfig = Field(
        default=ReportConfig(), description="When its values are published."
    )
    home_assistant: Annotated[
        Mapping[str, Any] | None,
        PlainValidator(check_entity),
        WithJsonSchema({"anyOf": [{"type": "object"}, {"const": False}]}),
    ] = Field(
        default={},
        description="What to tell Home Assistant otherwise, key by key; null takes a key away, and"
        " false leaves the point out.",
        examples=[{"device_class": "opening"}],
    )

    @property
    def is_confirmed(self) -> bool:
        """Whether a command to it ends with what the hardware says, and not with the writing."""
        return self.confirm and self.kind != "button"

    @property
    def kind(self) -> PointType | None:
        """Its type, or what follows from the other keys; None where any value will do."""
        if self.type is not None:
            return self.type
        if self.options is not None:
            return "enum"
        is_number = self._given(*_FOR_NUMBERS) or self.report.has_dead_band
        return "number" if is_number else None

    @model_validator(mode="after")
    def _keys_fit_the_type(self) -> PointConfig:
        kind = self.kind
        if kind in ("enum", "event"):
            if kind == "enum" and self.options is None:
                raise ValueError("an enum needs its options, as in options: [auto, manual]")
        elif self.options is not None:
            raise ValueError(f"options are for type enum or event, not {kind}: take one away")
        if kind not in ("number", None):
            if odd := self._given(*_FOR_NUMBERS):
                raise ValueError(f"{odd} is for numbers, not for type {kind}: take one away")
            if self.report.has_dead_band:
                raise ValueError(f"a dead-band is for numbers, not for type {kind}: take one away")
        if kind == "event" and self._given("report"):
            raise ValueError("an event is published each time it comes: take `report` away")
        return self

    @model_validator(mode="after")
    def _keys_fit_the_writing(self) -> PointConfig:
        if self.write is None:
            if self.kind == "button":
                raise ValueError("a button is only written: it needs `write`")
            if odd := self._given("min", "max", "step", "confirm"):
                raise ValueError(f"{odd} is for points that can be written: it needs `write`")
        elif self.kind == "event":
            raise ValueError("an event only comes from the hardware: take `write` away")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError("min must be less than max")
        return self

    def _given(self, *keys: str) -> str:
        """The first of these keys that the config gives."""
        return next((key for key in keys if key in self.model_fields_set), "")

    def described(self) -> dict[str, object]:
        """What others should know of its values."""
        known = self.model_dump(include={"name", "unit", "device_class", "state_class"})
        known["type"] = self.kind
        known["options"] = (
            None if self.options is None else list(dict.fromkeys(self.options.values()))
        )
        if self.write is not None:
            known |= {"writable": True, **self.model_dump(include={"min", "max", "step"})}
            known["confirm"] = None if self.confirm else False
        return {key: value for key, value in known.items() if value is not None}
