"""One device with all its entities, as Home Assistant's device-based discovery has it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway import __version__
from gateway.home_assistant.component import Component, Place, component
from gateway.home_assistant.config import HomeAssistantConfig
from gateway.points.config import PointConfig

ORIGIN = {
    "name": "Fieldgate",
    "sw_version": __version__,
}

Payload = dict[str, Any]
Overrides = Mapping[str, Mapping[str, Mapping[str, object] | None]]
"""What the config says of entities, by device id and point; None leaves the point out."""


@dataclass(frozen=True, slots=True)
class Site:
    """What all devices of a gateway have in common."""

    base: str
    page_url: str = ""
    overrides: Overrides = field(default_factory=dict)
    only_listed: frozenset[str] = frozenset()
    """Ids of devices that have no other points than the config lists."""

    @property
    def root(self) -> str:
        """The base topic as a part of ids."""
        return self.base.replace("/", "_")

    @property
    def bridge_topic(self) -> str:
        return f"{self.base}/bridge/state"

    def owns(self, payload: Payload) -> bool:
        """Whether a discovery payload is ours, and not another gateway's on the same broker."""
        origin, availability = payload.get("origin"), payload.get("availability")
        if not isinstance(origin, dict) or origin.get("name") != ORIGIN["name"]:
            return False
        topics = availability if isinstance(availability, list) else []
        return any(
            isinstance(one, dict) and one.get("topic") == self.bridge_topic for one in topics
        )


def site_of(
    base: str,
    config: HomeAssistantConfig,
    points: Mapping[str, Mapping[str, PointConfig]],
    only_listed: frozenset[str] = frozenset(),
) -> Site:
    """The site that a config describes; `points` by device id."""
    overrides = {
        identity: {
            name: point.home_assistant
            for name, point in listed.items()
            if point.home_assistant != {}
        }
        for identity, listed in points.items()
    }
    return Site(base, config.configuration_url or "", overrides, only_listed)


def discovery(
    site: Site, devices: object, held: Mapping[str, Payload] | None = None
) -> dict[str, Payload]:
    """What Home Assistant is to know, by discovery id: our bridge, and each device with entities.

    `devices` is the list of `bridge/devices`. A device is first heard some time after our start,
    and not all of its points at once: entities that Home Assistant has of points not heard yet are
    taken from `held`, what it was told before.
    """
    found = {f"{site.root}_bridge": _bridge(site)}
    for device in devices if isinstance(devices, list) else []:
        if not isinstance(device, dict):
            continue
        name = f"{site.root}_{device['id']}"
        unseen = _unseen(site, device, (held or {}).get(name, {}))
        if components := _components(site, device, unseen):
            found[name] = _device(site, device, components)
    return found


def parsed(payload: bytes) -> Payload | None:
    """A discovery payload that somebody published; None for what is none."""
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def components_of(payload: Payload) -> dict[str, Component]:
    """The entities in a payload; one with its platform alone has been taken away."""
    found = payload.get("components")
    entities = found.items() if isinstance(found, dict) else ()
    return {key: one for key, one in entities if isinstance(one, dict) and len(one) > 1}


def _bridge(site: Site) -> Payload:
    state: Component = {
        "platform": "binary_sensor",
        "unique_id": f"{site.root}_bridge_state",
        "name": "Connection",
        "default_entity_id": f"binary_sensor.{site.root}_connection".replace("-", "_"),
        "state_topic": site.bridge_topic,
        "value_template": "{{ value_json.state }}",
        "payload_on": "online",
        "payload_off": "offline",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
        # Its own availability would hide what it is there to tell.
        "availability": [],
    }
    device = {"identifiers": [f"{site.root}_bridge"], "name": "Fieldgate", **_maker(site)}
    return _payload(site, device, {"state": state}, [])


def _device(site: Site, device: Mapping[str, Any], components: dict[str, Component]) -> Payload:
    identity = f"{site.root}_{device['id']}"
    description = {
        "identifiers": [identity],
        "name": _title(device),
        **_maker(site),
        "model": f"{device.get('reader', 'device')} reader",
        **{key: device[key] for key in ("manufacturer", "model") if device.get(key)},
        "via_device": f"{site.root}_bridge",
    }
    return _payload(site, description, components, [f"{site.base}/{device['name']}/availability"])


def _payload(
    site: Site, device: dict[str, object], components: dict[str, Component], besides: list[str]
) -> Payload:
    """No other key may stand at the top: one unknown refuses the whole device."""
    topics = [site.bridge_topic, *besides]
    return {
        "device": device,
        "origin": dict(ORIGIN),
        "availability": [
            {"topic": topic, "value_template": "{{ value_json.state }}"} for topic in topics
        ],
        "availability_mode": "all",
        "components": components,
    }


def _maker(site: Site) -> dict[str, object]:
    known: dict[str, object] = {"manufacturer": "Fieldgate", "sw_version": __version__}
    return known | ({"configuration_url": site.page_url} if site.page_url else {})


def _unseen(site: Site, device: Mapping[str, Any], held: Payload) -> dict[str, Component]:
    """Entities whose points have not been heard yet, where they are now: it may be renamed."""
    if str(device["id"]) in site.only_listed:
        return {}
    availability = held.get("availability") or [{}]
    before = str(availability[-1].get("topic", "")).removesuffix("/availability")
    points = device.get("points")
    return {
        point: _moved(one, before, f"{site.base}/{device['name']}")
        for point, one in components_of(held).items()
        if isinstance(points, dict)
        and point not in points
        and _override(site, device, point) is not None
    }


def _moved(component: Component, before: str, after: str) -> Component:
    return {
        key: after + value.removeprefix(before)
        if isinstance(value, str) and value.startswith(f"{before}/")
        else value
        for key, value in component.items()
    }


def _components(
    site: Site, device: Mapping[str, Any], unseen: dict[str, Component]
) -> dict[str, Component]:
    points = dict(_announced(site, device))
    made = {
        point: component(
            Place(
                topic=f"{site.base}/{device['name']}",
                device=str(device["name"]),
                device_title=_title(device),
                point=point,
                unique_id=f"{site.root}_{device['id']}_{point}",
                is_only=len(points) + len(unseen) == 1,
            ),
            known,
            _override(site, device, point) or {},
            points,
        )
        for point, known in points.items()
    }
    return made | unseen


def _announced(site: Site, device: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, object]]]:
    points = device.get("points")
    for point, known in points.items() if isinstance(points, dict) else ():
        if isinstance(known, dict) and _override(site, device, point) is not None:
            yield point, known


def _override(site: Site, device: Mapping[str, Any], point: str) -> Mapping[str, object] | None:
    return site.overrides.get(str(device["id"]), {}).get(point, {})


def _title(device: Mapping[str, Any]) -> str:
    return str(device.get("title") or str(device["name"]).replace("_", " ").capitalize())
