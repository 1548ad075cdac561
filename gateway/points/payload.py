"""From values to payloads. Pure."""

from __future__ import annotations

import math

from gateway.measurement import Value


def payload(value: Value) -> bytes | None:
    """A value as the bare payload of its topic; None where there is no value to publish.

    No value are None, NaN, infinity and empty text, which as a retained payload would clear the
    topic [MQTT-3.3.1-6].
    """
    match value:
        case bool():
            return b"true" if value else b"false"
        case float() if not math.isfinite(value):
            return None
        case int() | float():
            try:
                return repr(value).encode()
            except ValueError:  # more digits than Python prints
                return None
        case str() if value:
            return value.encode(errors="replace")
        case _:
            return None
