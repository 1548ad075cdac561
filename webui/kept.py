"""Which topics have a last value: all but commands, receipts and other passing messages."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from broker.topics import matcher

_PASSING = (
    "+/set",
    "+/set/+",
    "+/get",
    "+/result",
    "+/backlog",
    "bridge/event",
    "bridge/web/+/sync",
    "bridge/request/#",
    "bridge/response/#",
)


def keeps_last_value(base_topic: str) -> Callable[[str], bool]:
    """A test whether a topic has a last value that a newcomer gets."""
    is_passing = matcher(f"{base_topic}/{below}" for below in _PASSING)
    return lambda topic: not is_passing(topic)


class _Point(msgspec.Struct):
    type: str = ""


class _Device(msgspec.Struct):
    name: str
    points: dict[str, _Point] = {}


class _DeviceList(msgspec.Struct):
    devices: list[_Device]


def event_topics(base_topic: str, devices: bytes) -> frozenset[str]:
    """The topics of points that are moments, like a button's, by what `bridge/devices` says."""
    try:
        known = msgspec.json.decode(devices, type=_DeviceList)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return frozenset()  # cleared, or not the gateway's own
    return frozenset(
        f"{base_topic}/{device.name}/{name}"
        for device in known.devices
        for name, point in device.points.items()
        if point.type == "event"
    )
