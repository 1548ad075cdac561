"""`$SYS/broker/…`: what the broker tells of itself, under Mosquitto's names, retained.

Only what has changed is published, every ten seconds. No wildcard at the beginning of a filter
matches these topics [MQTT-4.7.2-1], and no client may publish to them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from time import monotonic

from broker.link import QoS
from broker.native.core import Census, Core
from broker.native.routed import Routed

INTERVAL_S = 10.0
"""As often as Mosquitto does it: 40 small messages, 4 a second."""

PREFIX = "$SYS/broker/"
WINDOWS_MIN = (1, 5, 15)


def totals(core: Core, census: Census) -> dict[str, int]:
    """Everything that only grows, by its topic behind the prefix."""
    counters, backlog = core.counters, core.backlog
    ended = {f"disconnects/{each.name.lower()}": n for each, n in counters.ended.items()}
    return ended | {
        "messages/received": counters.packets_received,
        "messages/sent": counters.packets_sent,
        "publish/messages/received": counters.publishes_received,
        "publish/messages/sent": counters.packets_sent - counters.answers_sent,
        "publish/messages/dropped": census.dropped,
        "bytes/received": counters.bytes_received,
        "bytes/sent": counters.bytes_sent,
        "connections/accepted": counters.connections,
        "connections/refused": counters.refused,
        "connections/refused_by_address": counters.refused_by_address,
        "connections/accepting_paused": counters.accepting_paused,
        "connections/failed_handshakes": counters.failed_handshakes,
        "connections/unfinished_connects": counters.unfinished_connects,
        "logins/wrong": core.rights.wrong,
        "logins/limited": core.rights.limited,
        "logins/busy": core.rights.busy,
        "clients/expired": counters.sessions_expired,
        "clients/forgotten": counters.sessions_forgotten,
        "queued/overflowed": backlog.overflowed,
        "queued/given_up": backlog.given_up,
        "queued/refused": backlog.refused,
        "retained messages/refused": core.retained.refused,
        "subscriptions/refused": counters.subscriptions_refused,
        "wills/refused": core.wills.refused,
    }


def levels(core: Core, census: Census) -> dict[str, int]:
    """Everything that comes and goes."""
    counters, backlog = core.counters, core.backlog
    return {
        "clients/connected": census.clients,
        "clients/disconnected": census.sessions - census.clients,
        "clients/total": census.sessions,
        "clients/maximum": counters.clients_maximum,
        "connections/open": counters.open,
        "messages/stored": census.retained + census.waiting,
        "queued/messages": backlog.deliveries,
        "queued/bytes": backlog.bytes,
        "retained messages/count": census.retained,
        "retained messages/bytes": core.retained.bytes,
        "store/messages/count": census.retained + backlog.messages,
        "store/messages/bytes": core.retained.bytes + backlog.bytes,
        "subscriptions/count": census.subscriptions,
        "subscriptions/bytes": census.subscriptions_bytes,
        "wills/count": len(core.wills),
        "wills/bytes": core.wills.bytes,
    }


LOADS = {
    "messages/received": "load/messages/received",
    "messages/sent": "load/messages/sent",
    "publish/messages/received": "load/publish/received",
    "publish/messages/sent": "load/publish/sent",
    "publish/messages/dropped": "load/publish/dropped",
    "bytes/received": "load/bytes/received",
    "bytes/sent": "load/bytes/sent",
    "connections/accepted": "load/sockets",
}
"""What is also given as moving averages, a minute's worth, over one, five and fifteen minutes."""


class Loads:
    """Moving averages as the load of Unix: each look counts less, the older it is. Pure."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._averages: dict[str, float] = {}

    def after(self, passed_s: float, now: Mapping[str, int]) -> dict[str, str]:
        """The averages by topic, `passed_s` after the totals of the last call."""
        for name, topic in LOADS.items():
            per_minute = 60.0 * (now[name] - self._last.get(name, 0)) / passed_s
            self._last[name] = now[name]
            for minutes in WINDOWS_MIN:
                kept = math.exp(-passed_s / (60.0 * minutes))
                key = f"{topic}/{minutes}min"
                self._averages[key] = per_minute + kept * (
                    self._averages.get(key, 0.0) - per_minute
                )
        return {key: f"{value:.2f}" for key, value in self._averages.items()}


class SysTopics:
    """Publishes them, from `start` until `stop`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._loop = asyncio.get_running_loop()
        self._began = self._looked = monotonic()
        self._loads = Loads()
        self._published: dict[str, str] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Publish what there is now, then each interval what changed."""
        self._publish({"version": _version(), **self._state()})
        self._timer = self._loop.call_later(INTERVAL_S, self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = monotonic()
        values = self._state()
        counted = totals(self._core, self._core.census())
        values.update(self._loads.after(max(now - self._looked, 0.001), counted))
        self._looked = now
        self._publish(values)
        self._timer = self._loop.call_later(INTERVAL_S, self._look)

    def _state(self) -> dict[str, str]:
        census = self._core.census()
        numbers = totals(self._core, census) | levels(self._core, census)
        values = {name: str(number) for name, number in numbers.items()}
        values.update(
            (f"store/{name}", str(value)) for name, value in self._core.store.report().items()
        )
        values["uptime"] = f"{monotonic() - self._began:.0f} seconds"
        return values

    def _publish(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            if self._published.get(name) != value:
                self._published[name] = value
                self._core.publish(
                    Routed(PREFIX + name, value.encode(), QoS.AT_MOST_ONCE, retain=True)
                )


def _version() -> str:
    try:
        return f"fieldgate version {version('fieldgate')}"
    except PackageNotFoundError:
        return "fieldgate"  # in a checkout
