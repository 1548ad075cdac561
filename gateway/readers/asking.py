"""Asking a device over its line, and what to do about a silence."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.readers.line import Line
from gateway.readers.polling import Polling

SHORTEST_WAIT_S = 0.005
"""While a request is due, and a command goes before it."""


class Asking:
    """Sends the requests that are due. The reader's thread only."""

    def __init__(
        self, polling: Polling, line: Line, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._polling = polling
        self._line = line
        self._monotonic = monotonic

    @property
    def wait_s(self) -> float:
        """How long to listen before something else is to be done."""
        return max(SHORTEST_WAIT_S, self._polling.wait_s(self._monotonic()))

    def restart(self) -> None:
        """The port was opened or closed."""
        self._line.free()
        self._polling.restart()

    def ask(self) -> None:
        """Send the request that is due, if one is and the line is free."""
        request = self._polling.due(self._monotonic())
        if request is not None and self._line.ask(request):
            self._polling.sent(self._monotonic())

    def answered(self) -> None:
        """A frame came."""
        self._line.free()
        self._polling.answered()

    def given_up(self) -> bytes | None:
        """The request to which nothing came in time; what comes of it later is forgotten."""
        request = self._polling.unanswered(self._monotonic())
        if request is not None:
            self._line.free()
        return request
