"""What went through the hub: plain numbers, counted where it happens and read when asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from webui.wire import Gap, GapReason


@dataclass(slots=True)
class Counts:
    """Since the hub began. Bytes are those of encoded messages, without what frames add.

    `conflated` are messages that a subscription in mode `latest` skipped because newer ones of
    their topics were there; `missed` are those that gaps told of, as far as it is known how many.
    """

    messages_out: int = 0
    bytes_out: int = 0
    conflated: int = 0
    missed: int = 0
    gaps: Counter[GapReason] = field(default_factory=Counter)

    def gap(self, gap: Gap) -> None:
        """One session was told of a gap."""
        self.gaps[gap.reason] += 1
        self.missed += gap.missed or 0
