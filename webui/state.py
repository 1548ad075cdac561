"""What every request can reach: the hub, the bridge's health, and how many sessions there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from webui.hub import Hub
from webui.publishing import PublishAs

MAX_SESSIONS = 10_000
"""Browsers and streams at once; the next one is told to come back later."""


@dataclass(slots=True)
class WebState:
    """The web application's state. `why_not_ready()` is a sentence, empty when all is well."""

    hub: Hub
    publish: PublishAs
    base_topic: str
    why_not_ready: Callable[[], str]
    sessions: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

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
