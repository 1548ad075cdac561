"""The hub: one log of encoded messages, and any number of cursors into it.

Every message gets a sequence number and stands once in the log. A channel (a distinct set of
filters in use) holds references to the entries that its filters match. A subscription is a
`Cursor`: a place in its channel. To deliver is to join what lies behind the cursor, and cursors
at the same place get the very same frame. So no session has a queue, and one that doesn't read
costs nothing: it falls behind, at last off the log, and then gets a gap and the last values.

Last values stand in the order of the seq that set them, cleared topics among them as tombstones.
That makes snapshot, conflation and resume one operation: send what is newer than the cursor.

Pure: no I/O, clock, thread or task. The time comes in with the messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from broker.link import Message
from broker.topics import FilterTrie, matcher
from webui.channel import Channel, Snapshot
from webui.counts import Counts
from webui.cursor import Cursor
from webui.errors import RefusedError
from webui.last_value import LastValues
from webui.wire import MAX_FRAME_BYTES, Entry, Mode, Render, encode_message, payload_of


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Every bound of the hub. Beyond each the oldest goes; last values keep new topics out.

    `sweep_…` is how much leaves the log before the channels let go of it too: memory against a
    scan of all channels. `frame_bytes` is what a frame holds at most, or one message.
    """

    log_messages: int = 65_536
    log_bytes: int = 64 * 1024 * 1024
    channel_references: int = 1_000_000
    last_topics: int = 100_000
    last_bytes: int = 64 * 1024 * 1024
    tombstones: int = 10_000
    routed_topics: int = 100_000
    sweep_messages: int = 4096
    sweep_bytes: int = 8 * 1024 * 1024
    frame_bytes: int = MAX_FRAME_BYTES


@dataclass(frozen=True, slots=True)
class HubSize:
    """How much the hub holds now, to be seen beside its limits."""

    log_messages: int
    log_bytes: int
    channels: int
    channel_references: int
    last_topics: int
    last_bytes: int
    tombstones: int


@dataclass(frozen=True, slots=True)
class _Route:
    """Where messages of one topic go: found once, then remembered while no channel changes."""

    channels: tuple[Channel, ...]
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Welcome:
    """How a subscription begins: its cursor, and what the client is told first."""

    cursor: Cursor
    seq: int
    recovered: bool | None
    truncated: bool


class Hub:
    """The one state that all browsers see. `epoch` names this run: seqs mean nothing in another.

    `keeps(topic)` says whether a topic has a last value at all; commands and receipts don't.
    """

    def __init__(
        self, epoch: str, keeps: Callable[[str], bool], limits: HubLimits | None = None
    ) -> None:
        self.epoch = epoch
        self.seq = 0
        self.link_gaps = 0
        self.link_gap_seq = 0
        self._keeps = keeps
        self._passing: frozenset[str] = frozenset()
        self.limits = limits or HubLimits()
        self.counts = Counts()
        self.last = LastValues(
            topics=self.limits.last_topics,
            size=self.limits.last_bytes,
            tombstones=self.limits.tombstones,
        )
        self._log: deque[Entry] = deque()
        self._log_bytes = 0
        self._bytes_gone = 0
        self._evicted_messages = 0
        self._evicted_bytes = 0
        self._channels: dict[tuple[str, ...], Channel] = {}
        self._trie: FilterTrie[Channel] = FilterTrie()
        self._routes: dict[str, _Route] = {}
        self._share = 0
        self._dirty: set[Channel] = set()
        self._unconfirmed: set[str] | None = None

    def keep_nothing_of(self, topics: frozenset[str]) -> None:
        """From now on these topics have no last value either, and no others but by `keeps`."""
        if topics != self._passing:
            self._passing = topics
            self._routes.clear()

    # --- messages come in

    def publish(self, messages: Iterable[Message], time_ms: int) -> None:
        """Take messages over, in their order; then `take_dirty` tells who has news."""
        for message in messages:
            topic = message.topic
            if self._unconfirmed is not None and self._is_known_replay(message):
                continue
            route = self._routes.get(topic) or self._find_route(topic)
            seq = self.seq = self.seq + 1
            gone = not message.payload and route.is_kept
            entry = encode_message(message, time_ms=time_ms, seq=seq, gone=gone)
            self._log.append(entry)
            self._log_bytes += len(entry.body)
            if route.is_kept:
                self.last.put(entry)
            for channel in route.channels:
                channel.append(entry)
                self._dirty.add(channel)
        if len(self._log) > self.limits.log_messages or self._log_bytes > self.limits.log_bytes:
            self._evict()

    def take_dirty(self) -> set[Channel]:
        """The channels with news since the last call."""
        dirty, self._dirty = self._dirty, set()
        return dirty

    def size(self) -> HubSize:
        """How much there is of everything that has a limit."""
        channels = self._channels.values()
        return HubSize(
            len(self._log),
            self._log_bytes,
            len(channels),
            sum(len(channel.entries) for channel in channels),
            len(self.last),
            self.last.size,
            self.last.tombstones,
        )

    @property
    def bytes_in(self) -> int:
        """Bytes of all encoded messages that came so far; `seq` is how many came."""
        return self._bytes_gone + self._log_bytes

    def cursors(self) -> Iterator[Cursor]:
        """All cursors, to be looked at in one go."""
        for channel in self._channels.values():
            yield from channel.cursors

    # --- one look, without a subscription

    def last_values(self, topic_filter: str, *, after: int = 0) -> list[Entry]:
        """The last values that a valid filter matches and that are newer than a seq, ascending."""
        is_match = matcher((topic_filter,))
        return [
            entry for entry in self.last.after(after, tombstones=False) if is_match(entry.topic)
        ]

    def last_payload(self, topic: str) -> bytes | None:
        """The last value of one topic."""
        entry = self.last.get(topic)
        return None if entry is None or entry.gone else payload_of(entry)

    # --- the link to the broker was away

    def begin_resync(self) -> None:
        """The link is back: every subscription gets a gap, and the retained are replayed."""
        self.link_gaps += 1
        self.link_gap_seq = self.seq
        self._dirty.update(self._channels.values())
        self._unconfirmed = self.last.retained()

    def end_resync(self, time_ms: int) -> None:
        """The replay is over: retained last values that were not in it are gone from the broker."""
        unconfirmed, self._unconfirmed = self._unconfirmed or set(), None
        self.publish((Message(topic, b"", retain=True) for topic in sorted(unconfirmed)), time_ms)

    def _is_known_replay(self, message: Message) -> bool:
        assert self._unconfirmed is not None
        self._unconfirmed.discard(message.topic)  # a live one too: then it is the last value
        entry = self.last.get(message.topic) if message.retain else None
        return entry is not None and not entry.gone and payload_of(entry) == message.payload

    # --- subscriptions

    def subscribe(
        self,
        filters: tuple[str, ...],
        *,
        render: Render,
        wake: Callable[[], None],
        frame_id: int = 0,
        mode: Mode = "all",
        since: str | None = None,
    ) -> Welcome:
        """Begin a subscription to checked, sorted filters; `wake` is called when there is news.

        Without `since` the last values come first; with "now" nothing does; with
        `<epoch>-<seq>` what is newer than that, or a gap and the last values. Raises
        RefusedError for any other `since`.
        """
        place = self._parse_since(since, frame_id)
        channel = self._channel(filters)
        cursor = Cursor(
            self, channel, frame_id=frame_id, conflate=mode == "latest", render=render, wake=wake
        )
        recovered = None
        if since is None:
            cursor.begin_snapshot()
        elif since != "now":
            recovered = place is not None and self._reaches_back(channel, place)
            if place is None:
                cursor.restart("restart")
            elif recovered:
                cursor.resume(place)
            else:
                cursor.fall_back(place, "resume")
        channel.cursors.add(cursor)
        return Welcome(cursor, self.seq, recovered, self.last.refused > 0)

    def unsubscribe(self, cursor: Cursor) -> None:
        """End a subscription; a channel that nobody uses any more goes with it."""
        channel = cursor.channel
        channel.cursors.discard(cursor)
        if not channel.cursors and self._channels.pop(channel.filters, None) is not None:
            self._dirty.discard(channel)
            for topic_filter in channel.filters:
                self._trie.discard(topic_filter, channel)
            self._routes.clear()
            self._share_references()

    def snapshot(self, channel: Channel, after: int, *, tombstones: bool) -> Snapshot:
        """The channel's last values that are newer than a seq.

        Newcomers share the result while nothing new comes to the channel.
        """
        found = channel.snapshot
        if found is None or (found.after, found.tombstones) != (after, tombstones):
            topics = tuple(
                entry.topic
                for entry in self.last.after(after, tombstones=tombstones)
                if channel.matches(entry.topic)
            )
            found = channel.snapshot = Snapshot(after, tombstones, topics, self.seq)
        return found

    def _parse_since(self, since: str | None, frame_id: int) -> int | None:
        """The seq to resume from; None where there is none of this epoch."""
        if since is None or since == "now":
            return None
        epoch, dash, digits = since.partition("-")
        if not (dash and epoch and digits.isascii() and digits.isdigit() and len(digits) <= 16):
            raise RefusedError(
                "bad_frame", 'since must be "now" or <epoch>-<seq>, as in k3v9-1201', frame_id
            )
        seq = int(digits)
        return seq if epoch == self.epoch and seq <= self.seq else None

    def _channel(self, filters: tuple[str, ...]) -> Channel:
        channel = self._channels.get(filters)
        if channel is None:
            channel = Channel(filters, since=self.seq, limit=self._share)
            self._channels[filters] = channel
            for topic_filter in filters:
                self._trie.add(topic_filter, channel)
            self._routes.clear()
            self._share_references()
        return channel

    def _reaches_back(self, channel: Channel, seq: int) -> bool:
        """Whether the channel holds all since a seq; it is filled from the log if need be."""
        if seq >= channel.since:
            return True
        floor = self._log[0].seq - 1 if self._log else self.seq
        if seq < floor:
            return False
        verdicts: dict[str, bool] = {}
        older: list[Entry] = []
        for entry in self._log:
            if entry.seq > channel.since:
                break
            verdict = verdicts.get(entry.topic)
            if verdict is None:
                verdict = verdicts[entry.topic] = channel.matches(entry.topic)
            if verdict:
                older.append(entry)
        too_many = len(older) - channel.room
        if too_many > 0:
            floor = older[too_many - 1].seq
            del older[:too_many]
        if seq < floor:
            return False
        channel.prepend(older, since=floor)
        return True

    # --- bounds

    def _share_references(self) -> None:
        """Give every channel its share; more than before only where it is worth a visit to all."""
        share = min(
            self.limits.log_messages * 10 // 9 + 1,  # the whole log, and what is trimmed at once
            max(1, self.limits.channel_references // max(1, len(self._channels))),
        )
        if share < self._share or share >= 2 * self._share:
            self._share = share
            for channel in self._channels.values():
                channel.limit = share
                channel.trim()

    def _find_route(self, topic: str) -> _Route:
        if len(self._routes) >= self.limits.routed_topics:
            self._routes.clear()
        is_kept = topic not in self._passing and self._keeps(topic)
        route = _Route(tuple(self._trie.match(topic)), is_kept)
        self._routes[topic] = route
        return route

    def _evict(self) -> None:
        while len(self._log) > self.limits.log_messages or (
            self._log_bytes > self.limits.log_bytes and len(self._log) > 1
        ):
            size = len(self._log.popleft().body)
            self._log_bytes -= size
            self._bytes_gone += size
            self._evicted_bytes += size
            self._evicted_messages += 1
        if (
            self._evicted_messages >= self.limits.sweep_messages
            or self._evicted_bytes >= self.limits.sweep_bytes
        ):
            self._evicted_messages = self._evicted_bytes = 0
            floor = self._log[0].seq - 1
            for channel in self._channels.values():
                channel.forget(floor)
