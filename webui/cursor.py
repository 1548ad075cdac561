"""A cursor: one subscription's place in its channel, and what it is given next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from webui.channel import Channel, SharedFrame
from webui.wire import FRAMING_BYTES, Entry, Gap, Render, time_of

if TYPE_CHECKING:
    from webui.hub import Hub

MAX_GAP_TOPICS = 16
"""Up to so many topics a gap names; more are only counted."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How many messages wait for a cursor, and since when: ms since 1970, None if there are none.

    Last values that are still to be sent are counted, but have no since.
    """

    messages: int
    since_ms: int | None

    def seconds(self, now_ms: int) -> float:
        """For how long the oldest has been waiting."""
        return 0.0 if self.since_ms is None else max(0, now_ms - self.since_ms) / 1000


class Cursor:
    """What a subscription has seen is a seq; what it gets next is whatever is newer.

    First come the last values that `begin_snapshot` or a fall back left to send, then the
    channel's entries from `_ordinal` on. Nothing of it is kept for this cursor alone but the
    names of the topics in the snapshot: the values are looked up when they are sent, and those
    that were overtaken meanwhile are left to the entries that follow.
    """

    __slots__ = (
        "_conflate",
        "_fell_back",
        "_gap",
        "_hub",
        "_link_gaps",
        "_ordinal",
        "_overtaken",
        "_render",
        "_snapshot",
        "_snapshot_at",
        "_snapshot_seq",
        "channel",
        "frame_id",
        "seq",
        "wake",
    )

    def __init__(
        self,
        hub: Hub,
        channel: Channel,
        *,
        frame_id: int,
        conflate: bool,
        render: Render,
        wake: Callable[[], None],
    ) -> None:
        self.channel = channel
        self.frame_id = frame_id
        self.wake = wake
        self.seq = hub.seq
        self._hub = hub
        self._conflate = conflate
        self._render = render
        self._ordinal = channel.end
        self._link_gaps = hub.link_gaps
        self._gap: Gap | None = None
        self._snapshot: tuple[str, ...] = ()
        self._snapshot_at = 0
        self._snapshot_seq = 0
        self._fell_back = False
        self._overtaken: list[str] = []

    # --- where it begins, or begins again

    def begin_snapshot(self) -> None:
        """All last values first."""
        self._take_snapshot(after=0, tombstones=False)

    def resume(self, seq: int) -> None:
        """Go on behind a seq that the channel still reaches back to."""
        self.seq = seq
        self._ordinal = self.channel.dropped + self.channel.index_after(seq)
        if self._hub.link_gaps and seq <= self._hub.link_gap_seq:
            self._link_gaps = self._hub.link_gaps - 1

    def restart(self, reason: Literal["restart", "resume", "slow"]) -> None:
        """Nothing that this client knows can be relied on: a reset, then all last values."""
        self._gap = Gap(self.frame_id, None, [], reset=True, reason=reason)
        self._link_gaps = self._hub.link_gaps
        self.begin_snapshot()

    def fall_back(self, seq: int, reason: Literal["resume", "slow"]) -> None:
        """Too far behind: a gap, then the last values that are newer than a seq."""
        if seq < self._hub.last.horizon:
            self.restart(reason)
            return
        behind = self.channel.end - self._ordinal
        self._take_snapshot(after=seq, tombstones=True)
        if self._conflate:
            # To skip what was overtaken is what it asked for.
            self._hub.counts.conflated += max(0, behind - len(self._snapshot))
            return
        topics = list(self._snapshot) if len(self._snapshot) <= MAX_GAP_TOPICS else []
        missed = behind - len(self._snapshot) if reason == "slow" else None
        self._gap = Gap(self.frame_id, missed, topics, reset=False, reason=reason)

    def _take_snapshot(self, *, after: int, tombstones: bool) -> None:
        snapshot = self._hub.snapshot(self.channel, after, tombstones=tombstones)
        self._snapshot, self._snapshot_seq = snapshot.topics, snapshot.seq
        self._snapshot_at = 0
        self._fell_back = tombstones
        self._overtaken = []
        self._ordinal = self.channel.end

    # --- what it gets

    @property
    def is_at_end(self) -> bool:
        """Whether there is nothing left to pull."""
        return (
            self._ordinal == self.channel.end
            and self._gap is None
            and not self._snapshot
            and self._link_gaps == self._hub.link_gaps
        )

    def pull(self) -> Gap | bytes | None:
        """The next thing to send: a gap, a frame, or None when there is nothing new."""
        if self._gap is not None:
            gap, self._gap = self._gap, None
            self._hub.counts.gap(gap)
            return gap
        if self._snapshot:
            frame = self._pull_snapshot()
            if frame is not None:
                return frame
            if self._gap is not None:
                return self.pull()
        channel = self.channel
        stop = channel.end
        is_cut_off = self._ordinal < channel.dropped
        if self._link_gaps != self._hub.link_gaps:
            stop = channel.dropped + channel.index_after(self._hub.link_gap_seq)
            if is_cut_off or self._ordinal >= stop:
                self._link_gaps = self._hub.link_gaps
                gap = Gap(self.frame_id, None, [], reset=False, reason="link")
                self._hub.counts.gap(gap)
                return gap
        if is_cut_off:
            self.fall_back(self.seq, "slow")
            return self.pull()
        return self._pull_entries(stop) if self._ordinal < stop else None

    def lag(self) -> Lag:
        """How far behind it is."""
        channel = self.channel
        last_values = len(self._snapshot) - self._snapshot_at if self._snapshot else 0
        behind = channel.end - self._ordinal
        oldest = max(0, self._ordinal - channel.dropped)
        since_ms = time_of(channel.entries[oldest]) if oldest < len(channel.entries) else None
        return Lag(last_values + behind, since_ms)

    def _pull_snapshot(self) -> bytes | None:
        part: list[Entry] = []
        size = FRAMING_BYTES
        while self._snapshot_at < len(self._snapshot):
            topic = self._snapshot[self._snapshot_at]
            entry = self._hub.last.get(topic)
            if entry is None and self._fell_back:  # a tombstone that was dropped before we told it
                self.restart("slow")
                return None
            if entry is None or entry.seq > self._snapshot_seq:
                if self._fell_back and not self._conflate:
                    self._overtaken.append(topic)
            else:
                size += len(entry.body) + FRAMING_BYTES
                if part and size > self._hub.limits.frame_bytes:
                    return self._last_values(part)
                part.append(entry)
                self.seq = entry.seq
            self._snapshot_at += 1
        self._end_snapshot()
        return self._last_values(part) if part else None

    def _last_values(self, part: Sequence[Entry]) -> bytes:
        counts = self._hub.counts
        counts.messages_out += len(part)
        counts.bytes_out += sum(len(entry.body) for entry in part)
        return self._render(part, True)

    def _end_snapshot(self) -> None:
        if self._overtaken:
            topics = self._overtaken if len(self._overtaken) <= MAX_GAP_TOPICS else []
            self._gap = Gap(self.frame_id, len(self._overtaken), topics, reset=False, reason="slow")
        self.seq = self._snapshot_seq
        self._snapshot, self._overtaken, self._fell_back = (), [], False

    def _pull_entries(self, stop: int) -> bytes:
        channel = self.channel
        place = (self._ordinal, stop, self._render, self._conflate)
        found = channel.shared.get(place)
        if found is None:
            entries = channel.entries[self._ordinal - channel.dropped : stop - channel.dropped]
            if self._conflate:
                entries = _newest(entries)
            count, size = _fitting(entries, self._hub.limits.frame_bytes)
            end = stop
            if count < len(entries):
                end = channel.dropped + channel.index_after(entries[count - 1].seq)
            found = SharedFrame(self._render(entries[:count], False), end, count, size)
            channel.share(place, found)
        counts = self._hub.counts
        counts.messages_out += found.messages
        counts.bytes_out += found.size
        counts.conflated += found.end - self._ordinal - found.messages
        self._ordinal = found.end
        self.seq = channel.entries[found.end - channel.dropped - 1].seq
        return found.frame


def _newest(entries: Sequence[Entry]) -> list[Entry]:
    """The newest entry of each topic, in order."""
    found: dict[str, Entry] = {}
    for entry in reversed(entries):
        found.setdefault(entry.topic, entry)
    return list(reversed(found.values()))


def _fitting(entries: Sequence[Entry], limit: int) -> tuple[int, int]:
    """How many go into one frame, at least one, and how many bytes they are without its framing."""
    size = 0
    for count, entry in enumerate(entries):
        larger = size + len(entry.body)
        if count and larger + (count + 2) * FRAMING_BYTES > limit:
            return count, size
        size = larger
    return len(entries), size
