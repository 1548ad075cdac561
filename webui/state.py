"""What every request can reach: the hub, the bridge's health, and how many sessions there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from broker.serving import Attach
from webui.hub import Hub
from webui.publishing import PublishAs

MAX_SESSIONS = 10_000
"""Browsers and streams at once; the next one is told to come back later."""


SERVICE_RESTART = 1012
USERS_CHANGED = 4001
"""Why we close WebSockets: come back, after a moment, and as whoever you are then."""


class Ending:
    """What all sessions of one time wait for: to be told why they end."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.code = 0
        self.reason = ""

    def tell(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


@dataclass(slots=True)
class WebState:
    """The web application's state. `why_not_ready()` is a sentence, empty when all is well.

    `attach` is the way of `/mqtt` to the broker, where that runs in this process; `topics` are
    the topic filters that the bridge subscribes to.
    """

    hub: Hub
    publish: PublishAs
    base_topic: str
    why_not_ready: Callable[[], str]
    attach: Attach | None = None
    topics: Sequence[str] = ("#",)
    sessions: int = 0
    ending: Ending = field(default_factory=Ending)

    @contextmanager
    def counted(self) -> Iterator[bool]:
        """Count one session in and out; false if it is one too many."""
        if self.sessions >= MAX_SESSIONS:
            yield False
            return
        self.sessions += 1
        try:
            yield True
        finally:
            self.sessions -= 1

    def end_sessions(self, code: int, reason: str) -> None:
        """End all WebSockets, with this close code, and all streams; new ones may come."""
        self.ending.tell(code, reason)
        self.ending = Ending()
