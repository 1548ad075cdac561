"""What is not true any more when a broker comes back that was killed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from broker.native.routed import Routed
from broker.topics import matcher


def offline_now(retained: Iterable[Routed], base_topic: str) -> Iterator[Routed]:
    """For each retained `online` of our own bridge and devices, the `offline` that replaces it.

    Whoever published it died with the broker, so nobody was left to publish their wills.
    """
    is_ours = matcher((f"{base_topic}/bridge/state", f"{base_topic}/+/availability"))
    for message in retained:
        if not is_ours(message.topic):
            continue
        try:
            said = msgspec.json.decode(message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # not ours, whoever wrote it
        if isinstance(said, dict) and said.get("state") == "online":
            payload = msgspec.json.encode({**said, "state": "offline"})
            yield Routed(message.topic, payload, message.qos, retain=True)
