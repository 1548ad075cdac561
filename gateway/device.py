"""A device: what is known of it now, and the MQTT messages that say so. Pure."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from broker.link import Message, QoS
from gateway.measurement import Measurement, Value
from gateway.points.config import PointConfig
from gateway.points.names import PointNames
from gateway.points.payload import payload
from gateway.points.point import Point
from gateway.points.report import ReportConfig


class Said(NamedTuple):
    """What a device has to publish: values, which are retained, and events, which are not."""

    values: list[Message]
    events: list[Message]


class Device:
    """What others should see of every point of one device, and whether it can be reached.

    `topic` is `<base>/<device>`, below which its points and its availability hang. `now_s` is
    everywhere the same monotonic clock, in seconds.
    """

    def __init__(
        self,
        topic: str,
        names: PointNames,
        *,
        description: Mapping[str, object] | None = None,
        points: Mapping[str, PointConfig] | None = None,
        report: ReportConfig | None = None,
        describe: Callable[[str], Mapping[str, object]] = lambda _point: {},
    ) -> None:
        """`points` are those that the config lists, and `report` is for all points.

        `describe` is what the reader itself knows of a point.
        """
        self.topic = topic
        self.is_online = False
        self.reason = "not opened yet"
        self.revision = 0
        """Another number when `description` says something else."""
        self._description = description or {}
        self._listed = points or {}
        self._report = report or ReportConfig()
        self._describe = describe
        self._names = names
        self._refused: Counter[str] = Counter()
        self._points: dict[str, Point] = {}
        self._time_ms = self._measured_ms = 0
        self._stale: tuple[str, ...] = ()
        self._due_s = math.inf
        self._state_apart_s = 1 / self._report.max_per_s if self._report.max_per_s else 0.0
        self._state_from_s = -math.inf
        self._has_news = False

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many values had no point or made no sense for it, by reason."""
        return {**self._names.dropped, **self._refused}

    @property
    def due_s(self) -> float:
        """When to call `release` and `state` next; infinite where nothing waits."""
        state_s = self._state_from_s if self._has_news else math.inf
        return min(self._due_s, state_s)

    def came_online(self) -> None:
        """The device can be reached."""
        self.is_online, self.reason = True, ""

    def went_offline(self, reason: str) -> None:
        """The device can't be reached, and why, as a sentence."""
        self.is_online, self.reason = False, reason
        for point in self._points.values():
            point.pause()

    def take(self, measurement: Measurement, now_s: float) -> Said:
        """Remember a measurement; what comes back is to be published now."""
        self._measured_ms = measurement.time_ms
        reported: list[Point] = []
        for name, raw in self._names.of(measurement.fields).items():
            point = self._points.get(name) or self._new_point(name)
            expired_after_s = point.expire_after_s
            if point.take(raw, measurement.time_ms, now_s):
                reported.append(point)
            elif point.due_s < self._due_s:
                self._due_s = point.due_s
            if point.expire_after_s != expired_after_s:
                self.revision += 1
            if name in self._stale:
                self._find_stale(now_s)
        return self._said(reported)

    def release(self, now_s: float) -> Said:
        """What waited until now."""
        if self._due_s > now_s:
            return self._said(())
        reported = [point for point in self._points.values() if point.release(now_s)]
        self._due_s = min((point.due_s for point in self._points.values()), default=math.inf)
        return self._said(reported)

    def tick(self, now_s: float) -> None:
        """Look who has been silent for too long; once a second."""
        self._find_stale(now_s)

    def state(self, now_s: float) -> Message | None:
        """All points as one JSON object, where that has news and may be published now."""
        if not self._has_news or now_s < self._state_from_s:
            return None
        self._has_news = False
        self._state_from_s = now_s + self._state_apart_s
        return self._state()

    def description(self) -> dict[str, object]:
        """The entry of `bridge/devices`: all points, listed or seen, and what is known of them."""
        return {
            **self._description,
            "points": {name: self._described(name) for name in {**self._listed, **self._points}},
        }

    def newest(self, name: str) -> tuple[Value, int]:
        """What the hardware said last of a point, and when that was read; None and 0 for never."""
        point = self._points.get(name)
        return (None, 0) if point is None else point.newest

    def expire_after_s(self, name: str) -> float:
        """After how long without a message a point may be taken for gone; 0 for never."""
        point = self._points.get(name)
        return 0.0 if point is None else point.expire_after_s

    def availability(self) -> Message:
        """Whether the device can be reached."""
        state = "online" if self.is_online else "offline"
        return retained_json(f"{self.topic}/availability", {"state": state})

    def retained(self) -> Iterator[Message]:
        """Everything that a broker should hold of this device: for one that may have lost it."""
        yield self.availability()
        yield from self._said(self._points.values()).values
        if self._time_ms:
            yield self._state()
            self._has_news = False

    def _new_point(self, name: str) -> Point:
        config = self._listed.get(name) or PointConfig()
        point = Point(f"{self.topic}/{name}", config, self._report, self._refused)
        self._points[name] = point
        self.revision += 1
        return point

    def _said(self, points: Iterable[Point]) -> Said:
        said = Said([], [])
        for point in points:
            if point.is_event:
                if point.value is not None:
                    said.events.append(_event(point))
                continue
            self._has_news = True
            if point.time_ms > self._time_ms or self._time_ms > self._measured_ms:
                self._time_ms = point.time_ms  # the latter: the clock has been set back
            content = payload(point.value)
            if content is not None:
                said.values.append(Message(point.topic, content, QoS.AT_MOST_ONCE, retain=True))
        return said

    def _state(self) -> Message:
        state: dict[str, object] = {
            name: _json_value(point.value)
            for name, point in self._points.items()
            if not point.is_event
        }
        state["time"] = iso_time(self._time_ms)
        if self._stale:
            state["stale"] = self._stale
        return retained_json(self.topic, state)

    def _find_stale(self, now_s: float) -> None:
        stale = tuple(name for name, point in self._points.items() if point.is_stale(now_s))
        if stale != self._stale:
            self._stale = stale
            self._has_news = True

    def _described(self, name: str) -> dict[str, object]:
        known = dict(self._describe(name))
        if name in self._listed:
            known |= self._listed[name].described()
        if "type" not in known and (kind := _kind(self.newest(name)[0])):
            known["type"] = kind
        if (point := self._points.get(name)) and point.expire_after_s:
            known["expire_after_s"] = point.expire_after_s
            if point.interval_s:
                known["interval_s"] = round(point.interval_s, 3)
        return known


def _kind(value: Value) -> str:
    """What a point seems to be whose config doesn't say; empty while it has no value."""
    if isinstance(value, bool):
        return "boolean"
    if value is None:
        return ""
    return "text" if isinstance(value, str) else "number"


def retained_json(topic: str, value: object) -> Message:
    """A retained QoS 1 message that holds JSON."""
    return Message(topic, json_bytes(value), QoS.AT_LEAST_ONCE, retain=True)


def iso_time(time_ms: int) -> str:
    """ISO 8601 in UTC, to the millisecond: `2026-11-21T08:15:30.250Z`."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_bytes(value: object) -> bytes:
    """JSON as we publish it."""
    content = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return content.encode(errors="replace")


def _event(point: Point) -> Message:
    event = {"event_type": point.value, "time": iso_time(point.time_ms)}
    return Message(point.topic, json_bytes(event), QoS.AT_LEAST_ONCE)


def _json_value(value: Value) -> Value:
    """What the state says: null for what has no value of its own on the point's topic."""
    return None if payload(value) is None else value
