"""How messages get to a side: by MQTT, where it has no other way."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from tests.mqtt_packets import Client, connected, publish


class Outlet(Protocol):
    """One connection that publishes."""

    def packet(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> bytes:
        """The bytes that publish a message; they end with its payload."""
        ...

    async def send(self, *packets: bytes) -> None:
        """Send what `packet` made, or what a side is nudged with."""
        ...

    async def taken(self) -> None:
        """Wait until the side has taken all that was sent."""
        ...


class _MqttOutlet:
    def __init__(self, client: Client) -> None:
        self._client = client
        self.packet = publish
        self.send = client.send

    async def taken(self) -> None:
        await self._client.ping()


@asynccontextmanager
async def mqtt_outlet(port: int) -> AsyncIterator[Outlet]:
    """A publisher that speaks MQTT 3.1.1, QoS 0."""
    async with connected(port, f"bench-publisher-{secrets.token_hex(4)}") as client:
        yield _MqttOutlet(client)
