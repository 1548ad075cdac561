"""The metrics of the web role: hub, sessions, the broker's link, and the readers' own words."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar, get_args

import msgspec
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from webui.bridge import Bridge
from webui.history.history import HistorySnapshot
from webui.hub import Hub
from webui.metrics import Source
from webui.roster import Refusal, Roster, Transport
from webui.topic_tree import Health, Latency, State
from webui.wire import GapReason

S = TypeVar("S", bound=msgspec.Struct)

MAX_DEVICES = 256
MAX_REASONS = 64
"""What is believed of `bridge/health`, which anybody with the right may have written."""


def hub_metrics(hub: Hub) -> Source:
    """What went through, what is held, and who is the slowest."""

    def source() -> Iterator[Metric]:
        counts, size = hub.counts, hub.size()
        yield _counter("messages_received", "Messages from the broker", hub.seq)
        yield _counter("received_bytes", "Bytes of them, encoded", hub.bytes_in)
        yield _counter("messages_delivered", "Messages to sessions", counts.messages_out)
        yield _counter("delivered_bytes", "Bytes of them, encoded", counts.bytes_out)
        yield _counter(
            "messages_conflated", "Skipped, since who watches wants the latest", counts.conflated
        )
        yield _counter("messages_missed", "Told by gaps, where it is known how many", counts.missed)
        yield _labelled(
            CounterMetricFamily("fieldgate_gaps", "Gaps told to sessions", labels=["reason"]),
            {reason: counts.gaps[reason] for reason in get_args(GapReason)},
        )
        yield _gauge("log_messages", "Messages in the log", size.log_messages)
        yield _gauge("log_bytes", "Bytes of them, encoded", size.log_bytes)
        yield _gauge("channels", "Distinct sets of filters in use", size.channels)
        yield _gauge("channel_references", "Messages that they hold", size.channel_references)
        yield _gauge("last_values", "Topics with a last value", size.last_topics)
        yield _gauge("last_value_bytes", "Bytes of them and tombstones, encoded", size.last_bytes)
        yield _gauge("tombstones", "Cleared topics that are remembered", size.tombstones)
        yield _counter("last_values_refused", "Not kept for want of room", hub.last.refused)
        lags = [cursor.lag() for cursor in hub.cursors()]
        now_ms = time.time_ns() // 1_000_000
        yield _gauge(
            "slowest_cursor_messages",
            "Messages that wait for the slowest subscription",
            max((lag.messages for lag in lags), default=0),
        )
        yield _gauge(
            "slowest_cursor_seconds",
            "For how long the oldest of them has been waiting",
            max((lag.seconds(now_ms) for lag in lags), default=0.0),
        )

    return source


def session_metrics(roster: Roster) -> Source:
    """Who is here, who came, and who was not let in."""

    def source() -> Iterator[Metric]:
        transports = get_args(Transport)
        here = [session.transport for session in roster]
        yield _labelled(
            GaugeMetricFamily("fieldgate_sessions", "Open sessions", labels=["transport"]),
            {transport: here.count(transport) for transport in transports},
        )
        yield _labelled(
            CounterMetricFamily(
                "fieldgate_sessions_opened", "Sessions that came", labels=["transport"]
            ),
            {transport: roster.opened[transport] for transport in transports},
        )
        yield _labelled(
            CounterMetricFamily(
                "fieldgate_sessions_refused", "Sessions not let in", labels=["reason"]
            ),
            {reason: roster.refused[reason] for reason in get_args(Refusal)},
        )

    return source


def link_metrics(bridge: Bridge) -> Source:
    """How it stands with the broker."""

    def source() -> Iterator[Metric]:
        yield _gauge(
            "ready", "1 while what browsers see is up to date", int(not bridge.why_not_ready())
        )
        yield _counter("broker_connects", "How often the broker was reached", bridge.link_ups)

    return source


def history_metrics(snapshot: Callable[[], HistorySnapshot]) -> Source:
    """What is recorded, and what waits for the disk."""

    def source() -> Iterator[Metric]:
        now = snapshot()
        is_recording = int(now.state == "recording")
        yield _gauge("history_recording", "1 while history is written to the disk", is_recording)
        if now.state == "off":
            return
        yield _gauge("history_waiting_messages", "Nobody looked at yet", now.waiting_messages)
        yield _gauge("history_waiting_rows", "Not written to the disk yet", now.waiting_rows)
        yield _gauge("history_series", "Series that are recorded", now.series)
        yield _gauge("history_file_bytes", "Of the file on the disk", now.file_bytes)
        yield _counter("history_samples", "Samples taken", now.samples)
        yield _counter("history_rows", "Rows written, one a second and series", now.rows)
        yield _counter("history_skipped_messages", "Too many at once", now.skipped_messages)
        yield _counter("history_dropped_samples", "For which the disk is slow", now.dropped_samples)
        yield _counter("history_refused_samples", "Beyond the bounds", now.refused_samples)
        yield _counter("history_repeated_samples", "Of backlogs, known", now.repeated_samples)
        yield _counter("history_commits", "Batches written", now.commits)
        yield _counter("history_failures", "Batches that could not be written", now.failures)

    return source


def reader_metrics(last_payload: Callable[[str], bytes | None], base_topic: str) -> Source:
    """What the readers role, here or elsewhere, says of itself under `bridge/`."""

    def source() -> Iterator[Metric]:
        state = _decoded(last_payload(f"{base_topic}/bridge/state"), State)
        is_online = state is not None and state.state == "online"
        yield _gauge("readers_online", "1 while the readers role is there", int(is_online))
        health = _decoded(last_payload(f"{base_topic}/bridge/health"), Health)
        if health is not None:
            yield from _health_metrics(health, is_online=is_online)

    return source


def _health_metrics(health: Health, *, is_online: bool) -> Iterator[Metric]:
    readers = dict(list(health.devices.items())[:MAX_DEVICES])
    yield _labelled(
        GaugeMetricFamily("fieldgate_reader_online", "1 while it is reached", labels=["device"]),
        {name: int(is_online and each.state == "online") for name, each in readers.items()},
    )
    counted = {
        "opened": "How often it was opened",
        "measurements": "Measurements that it made",
    }
    for name, what in counted.items():
        yield _labelled(
            CounterMetricFamily(f"fieldgate_reader_{name}", what, labels=["device"]),
            {device: getattr(each, name) for device, each in readers.items()},
        )
    by_reason = {
        "rejected": "Lines or answers that made no sense",
        "dropped": "Values that were not published",
    }
    for name, what in by_reason.items():
        family = CounterMetricFamily(f"fieldgate_reader_{name}", what, labels=["device", "reason"])
        for device, each in readers.items():
            for reason, count in list(getattr(each, name).items())[:MAX_REASONS]:
                family.add_metric([device, reason], count)
        yield family
    if health.read_to_publish is not None:
        yield from _latency_metric(health.read_to_publish)


def _latency_metric(latency: Latency) -> Iterable[Metric]:
    """The histogram, unless it is none."""
    bounds = [_number(bound) for bound in latency.buckets]
    is_good = bounds[-1:] == [math.inf] and bounds == sorted(set(bounds)) and bounds[0] >= 0
    if is_good:
        yield HistogramMetricFamily(
            "fieldgate_read_to_publish_seconds",
            "From the reading of a measurement to its publishing, one of each burst",
            buckets=list(latency.buckets.items()),
            sum_value=latency.sum,
        )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _decoded(payload: bytes | None, wanted: type[S]) -> S | None:
    if payload is None:
        return None
    try:
        return msgspec.json.decode(payload, type=wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None  # somebody else's


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(f"fieldgate_{name}", what, value=value)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fieldgate_{name}", what, value=value)


def _labelled(
    family: CounterMetricFamily | GaugeMetricFamily, values: Mapping[str, float]
) -> Metric:
    for label, value in values.items():
        family.add_metric([label], value)
    return family
