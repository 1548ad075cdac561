"""What the recorder is bounded by, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecorderLimits:
    """Every bound of the recorder; beyond each, what is new is passed over and counted.

    `waiting` are messages that nobody has looked at, and `waiting_bytes` their payloads (a backlog
    takes longer to look at than to send); `buckets` is what waits for the disk (some
    250 bytes each), `series` what the file may hold for ever, `topics` remembered ones: at that
    bound all of them are looked up anew.
    """

    waiting: int = 20_000
    waiting_bytes: int = 64 * 1024 * 1024
    buckets: int = 200_000
    series: int = 20_000
    topics: int = 100_000


@dataclass(slots=True)
class Counts:
    """What became of all that came."""

    samples: int = 0
    """Recorded, or about to be."""

    skipped: int = 0
    """Messages that nobody looked at, because too many came at once."""

    dropped: int = 0
    """Samples that found no room, because the disk doesn't keep up."""

    refused: int = 0
    """Samples of series beyond the bound, or with a time that can't be."""

    repeated: int = 0
    """Samples of backlogs that had come before, as far as that is known without the file."""
