"""One point as one entity of Home Assistant. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.home_assistant.unit import class_of, spelled, state_class_of

Known = Mapping[str, object]
"""What `bridge/devices` says of a point."""

Component = dict[str, object]
"""What Home Assistant is told of an entity."""

SMALLEST_STEP = 0.001
"""Of a number; Home Assistant refuses a smaller one."""

DEFAULT_SPAN = (-1_000_000.0, 1_000_000.0)
"""Of a number whose config has no bounds: Home Assistant's own would be 1 to 100."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a point is, and what it is called."""

    topic: str
    """Of the device: `<base>/<device>`."""

    device: str
    device_title: str
    """What people call the device."""

    point: str
    unique_id: str
    """Stays when device or point are renamed in the config, as long as the ids do."""

    is_only: bool
    """Whether the device has no other entity: then it is called like the device."""


def component(
    place: Place, known: Known, overrides: Mapping[str, object], points: Mapping[str, Known]
) -> Component:
    """The entity for a point; an override replaces a key, and None takes it away.

    `points` are all of the device: a light has its brightness from another one.
    """
    platform = str(overrides.get("platform") or _platform(known))
    made = {
        "platform": platform,
        "unique_id": place.unique_id,
        "name": _name(place, known),
        "default_entity_id": f"{platform}.{place.device}_{place.point}".replace("-", "_"),
        **_of_platform(platform, place, known),
        **_brightness(place, overrides, points),
        **{key: value for key, value in overrides.items() if key != "brightness"},
    }
    if platform in ("sensor", "binary_sensor") and made.get("entity_category") == "config":
        del made["entity_category"]  # refused: it is not for what can't be set
    # A name may be null, and then means the device's; nothing else may.
    return {key: value for key, value in made.items() if value is not None or key == "name"}


def _platform(known: Known) -> str:
    kind, is_writable = known.get("type"), bool(known.get("writable"))
    match kind:
        case "event" | "button":
            return str(kind)
        case "boolean":
            return "switch" if is_writable else "binary_sensor"
        case "number" if is_writable:
            return "number"
        case "enum" if is_writable:
            return "select"
        case "text" if is_writable:
            return "text"
    return "text" if is_writable else "sensor"


def _of_platform(platform: str, place: Place, known: Known) -> Component:
    state: Component = {"state_topic": f"{place.topic}/{place.point}"}
    command: Component = {"command_topic": f"{place.topic}/set/{place.point}"}
    on_off: Component = {"payload_on": "true", "payload_off": "false"}
    match platform:
        case "sensor":
            return state | _sensor(known) | _expiring(known)
        case "binary_sensor":
            return state | on_off | _class(known) | _expiring(known)
        case "switch" | "light":
            return state | command | on_off
        case "number":
            return state | command | _number(known)
        case "select":
            return state | command | {"options": known.get("options")}
        case "button":
            return {**command, "payload_press": "press"}
        case "event":
            return state | {"event_types": known.get("options") or ["press"]}
        case _:
            return state | command


def _sensor(known: Known) -> Component:
    if known.get("type") == "enum":
        # `options` only with the class enum, and then neither unit nor state class.
        return {"device_class": "enum", "options": known.get("options")}
    unit, device_class = _unit_and_class(known)
    if known.get("type") != "number":
        return {"device_class": device_class} if device_class and unit is None else {}
    state_class = state_class_of(_text(known, "state_class"), device_class)
    return {
        "unit_of_measurement": unit,
        "device_class": device_class,
        "state_class": state_class,
    }


def _number(known: Known) -> Component:
    unit, device_class = _unit_and_class(known)
    least, greatest = _span(known)
    return {
        "unit_of_measurement": unit,
        "device_class": device_class,
        "min": least,
        "max": greatest,
        "step": max(SMALLEST_STEP, _float(known, "step", 0.1)),
        "mode": "slider" if "min" in known and "max" in known else "box",
    }


def _span(known: Known) -> tuple[float, float]:
    """From min to max; a bound that the config leaves out must not lie beyond the other."""
    least, greatest = DEFAULT_SPAN
    least = _float(known, "min", min(least, 10 * _float(known, "max", 0.0)))
    return least, _float(known, "max", max(greatest, 10 * least))


def _brightness(
    place: Place, overrides: Mapping[str, object], points: Mapping[str, Known]
) -> Component:
    point = overrides.get("brightness")
    if not isinstance(point, str):
        return {}
    return {
        "brightness_state_topic": f"{place.topic}/{point}",
        "brightness_command_topic": f"{place.topic}/set/{point}",
        "brightness_scale": max(1, round(_float(points.get(point, {}), "max", 255))),
    }


def _class(known: Known) -> Component:
    return {"device_class": known.get("device_class")}


def _expiring(known: Known) -> Component:
    """After how long without a message the entity is unavailable, in whole seconds."""
    seconds = _float(known, "expire_after_s", 0.0)
    return {"expire_after": round(seconds)} if seconds else {}


def _unit_and_class(known: Known) -> tuple[str | None, str | None]:
    unit = spelled(_text(known, "unit"))
    return unit, class_of(_text(known, "device_class"), unit)


def _name(place: Place, known: Known) -> str | None:
    """Home Assistant puts the device's name before it, so it is not said twice."""
    if place.is_only:
        return None
    name = _text(known, "name") or place.point.replace("_", " ").capitalize()
    for title in (place.device_title, place.device):
        if name.lower().startswith(f"{title.lower()} "):
            name = name[len(title) :].strip().capitalize()
    return name


def _text(known: Known, key: str) -> str | None:
    value = known.get(key)
    return None if value is None else str(value)


def _float(known: Known, key: str, default: float) -> float:
    value = known.get(key)
    return float(value) if isinstance(value, int | float) else default
