"""What is not true any more when a broker comes back that was killed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from broker.native.routed import Routed
from broker.topics import matcher

_STATES = ("bridge/state", "bridge/web/+", "+/availability")


def offline_now(retained: Iterable[Routed], base_topic: str) -> Iterator[Routed]:
    """For each retained `online` of our own bridge, devices and web servers, its `offline`.

    Whoever published it died with the broker, so nobody was left to publish their wills.
    """
    is_ours = matcher(f"{base_topic}/{below}" for below in _STATES)
    for message in retained:
        if not is_ours(message.topic):
            continue
        try:
            said = msgspec.json.decode(message.payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # not ours, whoever wrote it
        if isinstance(said, dict) and said.get("state") == "online":
            nobody = {"sessions": 0, "users": []} if "sessions" in said else {}
            payload = msgspec.json.encode({**said, "state": "offline", **nobody})
            yield Routed(message.topic, payload, message.qos, retain=True)
