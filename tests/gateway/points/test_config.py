"""What fieldgate.yaml may say of points."""

import pytest
from pydantic import ValidationError

from gateway.points.config import PointConfig, PointType
from gateway.points.report import ReportConfig


@pytest.mark.parametrize(
    ("own", "others", "together"),
    [
        ({}, {"max_per_s": 5}, {"max_per_s": 5}),
        ({"max_per_s": 1}, {"max_per_s": 5, "every_s": 60}, {"max_per_s": 1, "every_s": 60}),
        ({"on_change": False}, {"dead_band": 1, "dead_band_percent": 2}, {"on_change": False}),
        ({"dead_band": 1}, {"on_change": False}, {"dead_band": 1}),
        ({"stale_after_s": "never"}, {"stale_after_s": 5}, {"stale_after_s": "never"}),
    ],
)
def test_what_a_point_says_goes_before_what_its_device_says(
    own: dict[str, object], others: dict[str, object], together: dict[str, object]
) -> None:
    merged = ReportConfig.model_validate(own).over(ReportConfig.model_validate(others))
    assert merged == ReportConfig.model_validate(together)


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({}, None),
        ({"name": "Pump"}, None),
        ({"device_class": "door"}, None),
        ({"unit": "°C"}, "number"),
        ({"scale": 0.1}, "number"),
        ({"state_class": "total"}, "number"),
        ({"report": {"dead_band": 1}}, "number"),
        ({"options": ["a"]}, "enum"),
        ({"type": "event", "options": ["a"]}, "event"),
    ],
)
def test_the_type_follows_from_what_is_said(keys: dict[str, object], kind: PointType) -> None:
    assert PointConfig.model_validate(keys).kind == kind


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"invalid": [None]}, "must be a value as the hardware says it"),
        ({"invalid": [float("nan")]}, "must be a value as the hardware says it"),
        ({"options": {}}, "must be a list of texts"),
        ({"options": {str(n): "x" for n in range(65)}}, "holds 65 options; at most 64 are allowed"),
        ({"options": ["a"], "type": "number"}, "options are for type enum or event, not number"),
        ({"type": "enum"}, "an enum needs its options"),
        ({"type": "text", "decimals": 1}, "decimals is for numbers, not for type text"),
        ({"report": {"stale_after_s": True}}, "must be learned, never, or seconds from 1"),
    ],
)
def test_what_can_not_be_is_refused(keys: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        PointConfig.model_validate(keys)


def test_others_are_told_what_the_values_are_and_not_how_they_come_about() -> None:
    keys = {"unit": "bar", "scale": 0.1, "invalid": [0], "report": {"max_per_s": 1}}
    assert PointConfig.model_validate(keys).described() == {"unit": "bar", "type": "number"}
