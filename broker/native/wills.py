"""Wills: one of each session at most, from its client's CONNECT until it is published or dropped.

All together are bounded in bytes; a CONNECT whose will finds no room is refused, and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from broker.native.packet import Will

MAX_BYTES = 64 * 1024 * 1024
"""Two hundred of the largest, or as many sessions as there may be with a will of 3 kB each."""

_WILL_BYTES = 500
"""What a will costs beside its topic and payload, about."""


class Wills:
    """By client id. Lives on one event loop."""

    def __init__(self, publish: Callable[[str, Will], None]) -> None:
        """`publish` is given the client id and the will when it is due."""
        self._loop = asyncio.get_running_loop()
        self._publish = publish
        self._wills: dict[str, Will] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.bytes = 0
        self.refused = 0
        """How often there was no room."""

    def __len__(self) -> int:
        return len(self._wills)

    def has_room(self, will: Will) -> bool:
        has_room = self.bytes + _size(will) <= MAX_BYTES
        self.refused += not has_room
        return has_room

    def keep(self, client_id: str, will: Will | None) -> None:
        """A client came with this will, or with none; what was there before counts no more."""
        self.drop(client_id)
        if will is not None:
            self._wills[client_id] = will
            self.bytes += _size(will)

    def get(self, client_id: str) -> Will | None:
        return self._wills.get(client_id)

    def plan(self, client_id: str, delay_s: float) -> None:
        """Publish a will that there is after so long; without a delay now."""
        if delay_s:
            self._timers[client_id] = self._loop.call_later(delay_s, self.publish, client_id)
        else:
            self.publish(client_id)

    def drop(self, client_id: str) -> Will | None:
        """Don't publish a will, where there is one: its client said goodbye, or is back."""
        will = self._wills.pop(client_id, None)
        if will is not None:
            self.bytes -= _size(will)
        timer = self._timers.pop(client_id, None)
        if timer is not None:
            timer.cancel()
        return will

    def publish(self, client_id: str) -> None:
        """Publish a will, where there is one: its time or its session is over."""
        will = self.drop(client_id)
        if will is not None:
            self._publish(client_id, will)

    def stop(self) -> None:
        """Publish those that wait: nobody will be there to do it later."""
        for client_id in tuple(self._timers):
            self.publish(client_id)


def _size(will: Will) -> int:
    return len(will.topic) + len(will.payload) + _WILL_BYTES
