"""What the broker has done since it started, counted where it costs next to nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.native.reason import Reason

COUNTED = (
    Reason.MALFORMED_PACKET,
    Reason.PROTOCOL_ERROR,
    Reason.KEEP_ALIVE_TIMEOUT,
    Reason.TOPIC_FILTER_INVALID,
    Reason.TOPIC_NAME_INVALID,
    Reason.RECEIVE_MAXIMUM_EXCEEDED,
    Reason.TOPIC_ALIAS_INVALID,
    Reason.PACKET_TOO_LARGE,
    Reason.QUOTA_EXCEEDED,
)
"""Why clients are sent away; those that never happened are told of, too."""


@dataclass(slots=True)
class Counters:
    """Plain numbers that only grow, but for `open`; the broker's parts add to them."""

    open: int = 0
    """Connections open now, before their CONNECT too."""
    connections: int = 0
    """Connections accepted."""
    clients_maximum: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    packets_received: int = 0
    packets_sent: int = 0
    answers_sent: int = 0
    """Of `packets_sent`, those that are no PUBLISH."""
    publishes_received: int = 0
    dropped: int = 0
    """Messages not delivered to sessions that are over."""

    refused: int = 0
    """Connections closed at once: too many in all."""
    refused_by_address: int = 0
    """Connections closed at once: too many of their address."""
    accepting_paused: int = 0
    """Times at which there was no file descriptor left."""
    failed_handshakes: int = 0
    """TLS handshakes that failed or took too long."""
    sessions_expired: int = 0
    """Sessions whose clients stayed away for longer than they said."""
    sessions_forgotten: int = 0
    """Sessions that ended since more clients were away than may be."""
    subscriptions_refused: int = 0
    """Subscriptions for which there was no room."""
    ended: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    """Connections that we ended, by their reason."""
    unfinished_connects: int = 0
    """Connections closed since no CONNECT came in time."""
