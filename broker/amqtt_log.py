"""What amqtt logs, kept short: warnings only, and each kind of warning at most once a minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

INTERVAL_S = 60.0
"""How long a warning keeps others from the same line of code quiet: amqtt writes one for every
message that a subscriber didn't acknowledge, some of them with a traceback."""

_logger = logging.getLogger(__name__)
_amqtt = logging.getLogger("amqtt")
_transitions = logging.getLogger("transitions")


@contextmanager
def quiet_amqtt() -> Iterator[None]:
    """Take amqtt's loggers over, and give them back at the end."""
    before = _amqtt.level, _amqtt.propagate, _transitions.level
    handler = _Limited()
    _amqtt.addHandler(handler)
    _amqtt.propagate = False
    _amqtt.setLevel(logging.WARNING)
    _transitions.setLevel(logging.WARNING)  # a line at INFO for each session that comes or goes
    try:
        yield
    finally:
        _amqtt.removeHandler(handler)
        _amqtt.setLevel(before[0])
        _amqtt.propagate = before[1]
        _transitions.setLevel(before[2])


def hush_amqtt() -> None:
    """Say nothing more until `quiet_amqtt` ends: what fails now fails because we stop."""
    _amqtt.setLevel(logging.CRITICAL)


class _Limited(logging.Handler):
    """Hands a record on as one line of ours, if its place in the code was quiet for long enough.

    Remembers as many places as amqtt has lines that log, so it is bounded by itself.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last: dict[tuple[str, int], float] = {}
        self._skipped: dict[tuple[str, int], int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        place = record.name, record.lineno
        now = time.monotonic()
        if now - self._last.get(place, -INTERVAL_S) < INTERVAL_S:
            self._skipped[place] = self._skipped.get(place, 0) + 1
            return
        self._last[place] = now
        skipped = self._skipped.pop(place, 0)
        _logger.warning(
            "amqtt: %.300s%s", record.getMessage(), f" (and {skipped} more such)" * bool(skipped)
        )
