"""Which series a topic is: known by its device's id where it is a point, else by its name. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from broker.topics import matcher
from webui.history.number import json_of

_NOT_POINTS = frozenset({"availability", "set", "get", "result", "backlog"})
"""What stands below a device and is no point of it."""

_NO_DEVICE = "bridge"

MAX_DEVICES = 10_000
MAX_NAME_CHARACTERS = 500
"""A topic or point of a longer name is not recorded: names are kept in memory, all of them."""


class SeriesKey(NamedTuple):
    """What a series is known by, for as long as the file lives.

    Points of devices: the device's id and the point. Others: no device, the topic, and the field
    of its JSON, or "" for a bare payload.
    """

    device: str
    name: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class RecordedTopics:
    """What is recorded besides points: bare payloads where `fields` is empty, else JSON fields."""

    topic_filter: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be done with the messages of one topic.

    `bare` is the series of its payload, `fields` those of its JSON's fields; `backlog_of` is the
    id of the device whose backlog it is; `is_device_list` says that it names the devices.
    """

    bare: SeriesKey | None = None
    fields: Mapping[str, SeriesKey] = field(default_factory=dict)
    backlog_of: str = ""
    is_device_list: bool = False


NOTHING = Target()


class Naming:
    """From topics to series. Devices are known by the newest list on `<base>/bridge/devices`.

    A device that isn't listed goes by its name, unless that is the id of one that is: what is
    said below a name given up belongs to nobody, and nobody reads the device's history by it.
    """

    def __init__(self, base_topic: str, recorded: Sequence[RecordedTopics] = ()) -> None:
        self.device_list = f"{base_topic}/bridge/devices"
        self._prefix = f"{base_topic}/"
        self._recorded = [(matcher([each.topic_filter]), each.fields) for each in recorded]
        self._ids: dict[str, str] = {}
        self._taken: frozenset[str] = frozenset()

    def learn(self, payload: bytes) -> bool:
        """Take over a list of devices; whether it is another than before."""
        said = json_of(payload)
        devices = said.get("devices") if isinstance(said, dict) else None
        if not isinstance(devices, list):
            return False
        ids = {}
        for device in devices[:MAX_DEVICES]:
            match device:
                case {"name": str(name), "id": str(identity)}:
                    ids[name] = identity
        is_new = ids != self._ids
        self._ids, self._taken = ids, frozenset(ids.values())
        return is_new

    def target(self, topic: str) -> Target:
        """What becomes of a topic's messages."""
        if topic == self.device_list:
            return Target(is_device_list=True)
        device, point = self._split(topic)
        if device:  # its state says again what the points say
            identity = self._id(device)
            if identity is not None and point == "backlog":
                return Target(backlog_of=identity)
            key = self._point(device, point) if is_point(point) else None
            return NOTHING if key is None else Target(key)
        asked = [fields for is_match, fields in self._recorded if is_match(topic)]
        keys = {field: SeriesKey("", topic, field) for fields in asked for field in fields}
        bare = SeriesKey("", topic) if () in asked else None
        return Target(bare, keys) if bare or keys else NOTHING

    def key(self, topic: str, field: str) -> SeriesKey | None:
        """The series that is asked for; a field of a device's state is its point."""
        device, point = self._split(topic)
        if device and field and not point:
            return self._point(device, field)
        if device and not field and is_point(point):
            return self._point(device, point)
        return SeriesKey("", topic, field)

    def _split(self, topic: str) -> tuple[str, str]:
        """Device and point below the base; both empty for what is neither."""
        if not topic.startswith(self._prefix):
            return "", ""
        device, _, point = topic[len(self._prefix) :].partition("/")
        return ("", "") if device in ("", _NO_DEVICE) or "/" in point else (device, point)

    def _point(self, device: str, point: str) -> SeriesKey | None:
        identity = self._id(device)
        return None if identity is None else SeriesKey(identity, point)

    def _id(self, device: str) -> str | None:
        identity = self._ids.get(device)
        if identity is None and device not in self._taken:
            return device
        return identity


def is_point(name: str) -> bool:
    """Whether a topic level below a device is a point of it."""
    is_level = 0 < len(name) <= MAX_NAME_CHARACTERS and "/" not in name
    return is_level and name not in _NOT_POINTS
