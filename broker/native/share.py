"""Shared subscriptions: `$share/<name>/<filter>` [MQTT5-4.8.2]. Pure."""

from __future__ import annotations

from broker.errors import PacketError
from broker.native.reason import Reason


def split_share(topic_filter: str) -> tuple[str | None, str]:
    """The group's name, None where not shared, and the filter; raises PacketError."""
    if not topic_filter.startswith("$share/"):
        return None, topic_filter
    _, name, *rest = topic_filter.split("/", 2)
    if not name or "+" in name or "#" in name or not rest or not rest[0]:  # [MQTT5-4.8.2-1]
        raise PacketError(
            Reason.TOPIC_FILTER_INVALID, "a shared subscription is $share/<name>/<filter>"
        )
    return name, rest[0]
