"""A device: what is known of it now, and the MQTT messages that say so. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from broker.link import Message, QoS
from gateway.measurement import Measurement, Value
from gateway.points.names import PointNames
from gateway.points.payload import payload

PointDescriptions = Mapping[str, Mapping[str, object]]
"""What is known of points besides their values, by point: unit, device_class, name."""


class Device:
    """The newest value of every point of one device, and whether it can be reached.

    `topic` is `<base>/<device>`, below which its points and its availability hang.
    """

    def __init__(
        self,
        topic: str,
        names: PointNames,
        *,
        description: Mapping[str, object] | None = None,
        points: PointDescriptions | None = None,
        describe: Callable[[str], Mapping[str, object]] = lambda _point: {},
    ) -> None:
        """`points` are those that the config lists; `describe` is what the reader knows itself."""
        self.topic = topic
        self._description = description or {}
        self._listed = points or {}
        self._describe = describe
        self.is_online = False
        self.reason = "not opened yet"
        self._names = names
        self._values: dict[str, Value] = {}
        self._time_ms = 0
        self._point_topics: dict[str, str] = {}

    @property
    def points(self) -> tuple[str, ...]:
        """The points seen so far."""
        return tuple(self._values)

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many values had no point, by reason."""
        return dict(self._names.dropped)

    def take(self, measurement: Measurement) -> Iterator[Message]:
        """Remember a measurement; what comes back are its points, each on its own topic."""
        self._time_ms = measurement.time_ms
        points = self._names.of(measurement.fields)
        self._values.update(points)
        return self._point_messages(points)

    def state(self) -> Message | None:
        """All points as one JSON object, with the time of the newest measurement."""
        if not self._time_ms:
            return None
        state = {point: _json_value(value) for point, value in self._values.items()}
        state["time"] = iso_time(self._time_ms)
        return retained_json(self.topic, state)

    def description(self) -> dict[str, object]:
        """The entry of `bridge/devices`: all points, listed or seen, and what is known of them."""
        points = {
            point: {**self._describe(point), **self._listed.get(point, {})}
            for point in {**self._listed, **self._values}
        }
        return {**self._description, "points": points}

    def availability(self) -> Message:
        """Whether the device can be reached."""
        state = "online" if self.is_online else "offline"
        return retained_json(f"{self.topic}/availability", {"state": state})

    def retained(self) -> Iterator[Message]:
        """Everything that a broker should hold of this device: for one that may have lost it."""
        yield self.availability()
        yield from self._point_messages(self._values)
        if (state := self.state()) is not None:
            yield state

    def _point_messages(self, points: Mapping[str, Value]) -> Iterator[Message]:
        for point, value in points.items():
            content = payload(value)
            if content is None:
                continue
            topic = self._point_topics.get(point)
            if topic is None:
                topic = self._point_topics[point] = f"{self.topic}/{point}"
            yield Message(topic, content, QoS.AT_MOST_ONCE, retain=True)


def retained_json(topic: str, value: object) -> Message:
    """A retained QoS 1 message that holds JSON."""
    content = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Message(topic, content.encode(errors="replace"), QoS.AT_LEAST_ONCE, retain=True)


def iso_time(time_ms: int) -> str:
    """ISO 8601 in UTC, to the millisecond: `2026-11-21T08:15:30.250Z`."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_value(value: Value) -> Value:
    """What the state says: null for what has no value of its own on the point's topic."""
    return None if payload(value) is None else value
