"""How long messages take, hop by hop, as histograms: one observation a burst or less."""

from __future__ import annotations

from datetime import datetime

import msgspec
from prometheus_client import CollectorRegistry, Histogram

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""From what an idle machine takes to what nobody calls live any more."""


class _Health(msgspec.Struct):
    """Of `bridge/health`, when it was published."""

    time: datetime


_decode = msgspec.json.Decoder(_Health).decode


class Hops:
    """From published to the relay, and from there to the sessions.

    The first is seen on `bridge/health`, the one message that says when it was published; where
    the readers run on another machine, both clocks must be right.
    """

    def __init__(self) -> None:
        self._to_relay = Histogram(
            "fieldgate_publish_to_relay_seconds",
            "From the publishing of bridge/health to its arrival here, every ten seconds",
            registry=None,
            buckets=BUCKETS_S,
        )
        self._to_sessions = Histogram(
            "fieldgate_relay_to_session_seconds",
            "From a burst's arrival here until it was written to all sessions that read",
            registry=None,
            buckets=BUCKETS_S,
        )

    def register(self, registry: CollectorRegistry) -> None:
        """Show both there."""
        registry.register(self._to_relay)
        registry.register(self._to_sessions)

    def health_came(self, payload: bytes, now_ms: int) -> None:
        """`bridge/health` came at `now_ms`, ms since 1970, UTC."""
        try:
            published_s = _decode(payload).time.timestamp()
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, OverflowError):
            return  # somebody else's, or of a gateway that doesn't say when
        self._to_relay.observe(max(0.0, now_ms / 1000 - published_s))

    def delivered(self, took_s: float) -> None:
        """One round of deliveries is over."""
        self._to_sessions.observe(took_s)
