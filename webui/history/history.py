"""History as the rest of the web sees it, and the one that is off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from broker.link import Message
from webui.errors import RefusedError
from webui.history.reading import Columns, ExportRow


@dataclass(frozen=True, slots=True)
class HistorySnapshot:
    """How history is now, and what it has counted since it began."""

    state: Literal["off", "recording", "failing"] = "off"
    series: int = 0
    samples: int = 0
    """Taken; those that are written are in `rows`, a row a second and series."""
    rows: int = 0
    waiting_messages: int = 0
    """That nobody has looked at yet."""
    waiting_rows: int = 0
    """That are not written yet."""
    skipped_messages: int = 0
    """Never looked at, because too many came at once."""
    dropped_samples: int = 0
    """That found no room, because the disk doesn't keep up."""
    refused_samples: int = 0
    """Of series beyond the bound, or with a time that can't be."""
    repeated_samples: int = 0
    """Of backlogs, which had been recorded before."""
    commits: int = 0
    failures: int = 0
    """Batches that could not be written, and were kept."""
    file_bytes: int = 0


class History(Protocol):
    """What was, whether it is recorded here or not."""

    def take(self, messages: Sequence[Message], time_ms: int, *, is_replay: bool) -> None:
        """Take a burst that the bridge heard; `is_replay`: retained ones may be old."""

    async def columns(
        self, topic: str, field: str, from_ms: int, to_ms: int, points: int
    ) -> Columns:
        """What a topic was, in at most so many points; raises RefusedError."""

    def rows(
        self, topic: str, field: str, from_ms: int, to_ms: int
    ) -> AsyncIterator[Sequence[ExportRow]]:
        """All that there is, a piece at a time; raises RefusedError."""

    def snapshot(self) -> HistorySnapshot:
        """How history is now."""


class OffHistory:
    """History where nothing is recorded; `reason` tells those who ask why."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def take(self, messages: Sequence[Message], time_ms: int, *, is_replay: bool) -> None: ...

    async def columns(
        self, _topic: str, _field: str, _from_ms: int, _to_ms: int, _points: int
    ) -> Columns:
        raise RefusedError("unavailable", self._reason)

    def rows(
        self, _topic: str, _field: str, _from_ms: int, _to_ms: int
    ) -> AsyncIterator[Sequence[ExportRow]]:
        raise RefusedError("unavailable", self._reason)

    def snapshot(self) -> HistorySnapshot:
        return HistorySnapshot()


OFF = OffHistory("history is off here: history.size_mb is 0")
