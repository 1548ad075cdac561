"""What every request can reach: the hub, the bridge's health, and how many sessions there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from broker.serving import Attach
from webui.hub import Hub
from webui.identity import Identity
from webui.publishing import PublishAs

MAX_SESSIONS = 10_000
"""Browsers and streams at once; the next one is told to come back later."""


SERVICE_RESTART = 1012
USERS_CHANGED = 4001
"""Why we close WebSockets: come back, after a moment, and as whoever you are then."""


class Ending:
    """What a session waits for: to be told why it ends."""

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
    stopping: Ending = field(default_factory=Ending)
    _identities: dict[Ending, Identity] = field(default_factory=dict)

    @property
    def sessions(self) -> int:
        """How many browsers and streams there are."""
        return len(self._identities)

    @contextmanager
    def session(self, identity: Identity) -> Iterator[Ending | None]:
        """Count one session in and out; None if it is one too many."""
        if self.sessions >= MAX_SESSIONS:
            yield None
            return
        ending = Ending()
        self._identities[ending] = identity
        try:
            yield ending
        finally:
            del self._identities[ending]

    def end_sessions(
        self, code: int, reason: str, *, whose: Callable[[Identity], bool] = lambda _: True
    ) -> None:
        """End WebSockets, with this close code, and streams; new ones may come."""
        for ending, identity in self._identities.items():
            if whose(identity):
                ending.tell(code, reason)

    def stop(self) -> None:
        """End everything, since the server stops."""
        self.stopping.tell(SERVICE_RESTART, "the server stops or restarts")
        self.end_sessions(self.stopping.code, self.stopping.reason)
