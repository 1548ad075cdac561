"""A channel: what one distinct set of filters has matched, by reference into the hub's log."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from broker.topics import matcher
from webui.wire import Entry

if TYPE_CHECKING:
    from webui.cursor import Cursor

_seq = attrgetter("seq")

_SHARED_FRAMES = 16
"""Places at which cursors may stand and still share: the busiest, not a cache of the past."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The topics whose last values are newer than `after`, ascending by seq, as it was at `seq`."""

    after: int
    tombstones: bool
    topics: tuple[str, ...]
    seq: int


@dataclass(frozen=True, slots=True)
class SharedFrame:
    """A frame for all cursors at one place, which it takes to the ordinal `end`."""

    frame: bytes
    end: int
    messages: int
    size: int


class Channel:
    """Entries in order, the newest at the right, and the cursors that stand among them.

    Places are ordinals: the n-th entry of this channel, so that dropping the oldest moves no
    cursor. The channel is complete for all seqs above `since`. At `limit` the oldest go.
    """

    def __init__(self, filters: tuple[str, ...], *, since: int, limit: int) -> None:
        self.filters = filters
        self.matches = matcher(filters)
        self.entries: list[Entry] = []
        self.dropped = 0
        self.since = since
        self.limit = limit
        self.cursors: set[Cursor] = set()
        self.shared: dict[object, SharedFrame] = {}
        self.snapshot: Snapshot | None = None

    @property
    def end(self) -> int:
        """The ordinal that the next entry will have."""
        return self.dropped + len(self.entries)

    @property
    def room(self) -> int:
        """How many older entries may be put back so that the next new ones don't push them out."""
        return max(0, self.limit - self.limit // 10 - len(self.entries))

    def append(self, entry: Entry) -> None:
        self.entries.append(entry)
        if self.shared:
            self.shared.clear()
        self.snapshot = None
        if len(self.entries) > self.limit:
            self.trim()

    def prepend(self, older: list[Entry], since: int) -> None:
        """Put back what came before the channel began; the ordinals stay what they are."""
        self.entries[:0] = older
        self.dropped -= len(older)
        self.since = since

    def trim(self) -> None:
        """Come down to the limit, and a tenth more: to take one from the front costs like many."""
        if len(self.entries) > self.limit:
            self._drop(len(self.entries) - self.limit + self.limit // 10)

    def forget(self, seq: int) -> None:
        """Let go of what is not newer than a seq, because the log did."""
        self._drop(self.index_after(seq))

    def index_after(self, seq: int) -> int:
        """Where in `entries` the first one newer than a seq stands."""
        return bisect_right(self.entries, seq, key=_seq)

    def share(self, place: object, frame: SharedFrame) -> None:
        """Remember a frame for the other cursors at this place, until something new comes."""
        if len(self.shared) >= _SHARED_FRAMES:
            self.shared.clear()
        self.shared[place] = frame

    def _drop(self, count: int) -> None:
        if count:
            self.since = self.entries[count - 1].seq
            del self.entries[:count]
            self.dropped += count
