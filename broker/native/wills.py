"""Wills that wait: a client has gone, and has until then to come back [MQTT5-3.1.3-9]."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from broker.native.packet import Will


class DelayedWills:
    """At most one of each absent client. Lives on one event loop."""

    def __init__(self, publish: Callable[[str, Will], None]) -> None:
        """`publish` is given the client id and the will when it is due."""
        self._loop = asyncio.get_running_loop()
        self._publish = publish
        self._waiting: dict[str, tuple[asyncio.TimerHandle, Will]] = {}

    def plan(self, client_id: str, will: Will, delay_s: float) -> None:
        """Publish a will after so long; without a delay now."""
        if delay_s:
            timer = self._loop.call_later(delay_s, self.publish_now, client_id)
            self._waiting[client_id] = (timer, will)
        else:
            self._publish(client_id, will)

    def cancel(self, client_id: str) -> Will | None:
        """Don't publish a will, where one waits: its client is back, or is nobody any more."""
        timer, will = self._waiting.pop(client_id, (None, None))
        if timer is not None:
            timer.cancel()
        return will

    def publish_now(self, client_id: str) -> None:
        """Publish a will, where one waits: its time or its session is over."""
        will = self.cancel(client_id)
        if will is not None:
            self._publish(client_id, will)

    def stop(self) -> None:
        """Publish all of them: nobody will be there to do it later."""
        for client_id in tuple(self._waiting):
            self.publish_now(client_id)
