"""Last values: the newest message of every topic, in the order in which they were set."""

from __future__ import annotations

from webui.wire import Entry


class LastValues:
    """Topic → newest entry, ascending by seq; a cleared topic stays on as a tombstone.

    At the bound of topics or bytes a new topic is not kept, and counted in `refused`. The oldest
    tombstones go when there are too many; `horizon` is then its seq: whoever knows only what
    came before it may hold topics that are long gone, and must begin anew.
    """

    def __init__(self, *, topics: int, size: int, tombstones: int) -> None:
        self._entries: dict[str, Entry] = {}
        self._tombstones: dict[str, int] = {}
        self.size = 0
        self._max_topics = topics
        self._max_bytes = size
        self._max_tombstones = tombstones
        self.horizon = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._entries) - len(self._tombstones)

    @property
    def tombstones(self) -> int:
        """How many cleared topics are remembered."""
        return len(self._tombstones)

    def get(self, topic: str) -> Entry | None:
        """The last value of a topic, or its tombstone."""
        return self._entries.get(topic)

    def put(self, entry: Entry) -> None:
        """Take over the newest message of a topic; one with `gone` clears it."""
        topic = entry.topic
        old = self._entries.pop(topic, None)
        if old is not None:
            self.size -= len(old.body)
            self._tombstones.pop(topic, None)
        if entry.gone:
            if old is not None:
                self._bury(entry)
            return
        is_new = old is None or old.gone
        if (is_new and len(self) >= self._max_topics) or (
            self.size + len(entry.body) > self._max_bytes
        ):
            self.refused += 1
            if old is not None:  # whoever knows the old value must not keep it as the newest
                self.horizon = max(self.horizon, entry.seq)
            return
        self._entries[topic] = entry
        self.size += len(entry.body)

    def after(self, seq: int, *, tombstones: bool) -> list[Entry]:
        """What is newer than a seq, ascending."""
        found: list[Entry] = []
        for entry in reversed(self._entries.values()):
            if entry.seq <= seq:
                break
            if tombstones or not entry.gone:
                found.append(entry)
        found.reverse()
        return found

    def retained(self) -> set[str]:
        """The topics whose last value the broker is known to retain."""
        return {topic for topic, entry in self._entries.items() if entry.retain and not entry.gone}

    def _bury(self, entry: Entry) -> None:
        self._entries[entry.topic] = entry
        self.size += len(entry.body)
        self._tombstones[entry.topic] = entry.seq
        while len(self._tombstones) > self._max_tombstones or self.size > self._max_bytes:
            oldest = next(iter(self._tombstones))
            self.horizon = max(self.horizon, self._tombstones.pop(oldest))
            self.size -= len(self._entries.pop(oldest).body)
