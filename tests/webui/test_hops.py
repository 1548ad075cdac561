from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from webui.hops import Hops

PUBLISHED_MS = 1_763_690_523_250
PUBLISHED = b"2025-11-21T02:02:03.250Z"


def seen(hops: Hops, hop: str) -> tuple[float, float]:
    """How many were observed, and the sum of their seconds."""
    registry = CollectorRegistry()
    hops.register(registry)
    name = f"fieldgate_{hop}_seconds"
    count = registry.get_sample_value(f"{name}_count")
    total = registry.get_sample_value(f"{name}_sum")
    assert count is not None
    assert total is not None
    return count, round(total, 3)


def test_health_tells_how_long_a_message_took_to_the_relay() -> None:
    hops = Hops()
    hops.health_came(b'{"time":"%b","devices":{}}' % PUBLISHED, PUBLISHED_MS + 20)
    assert seen(hops, "publish_to_relay") == (1, 0.02)
    assert seen(hops, "relay_to_session") == (0, 0)


def test_clocks_that_differ_make_no_time_negative() -> None:
    hops = Hops()
    hops.health_came(b'{"time":"%b"}' % PUBLISHED, PUBLISHED_MS - 5000)
    assert seen(hops, "publish_to_relay") == (1, 0)


@pytest.mark.parametrize(
    "payload", [b"", b"online", b"\xff", b"[]", b"{}", b'{"time":1}', b'{"time":"yesterday"}']
)
def test_what_does_not_say_when_is_not_observed(payload: bytes) -> None:
    hops = Hops()
    hops.health_came(payload, PUBLISHED_MS)
    assert seen(hops, "publish_to_relay") == (0, 0)


def test_a_round_of_deliveries_is_observed() -> None:
    hops = Hops()
    hops.delivered(0.25)
    assert seen(hops, "relay_to_session") == (1, 0.25)
