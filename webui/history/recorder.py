"""The recorder: what the bridge hears becomes samples, without keeping the bridge. Pure.

A burst is only put aside; `drain` looks at so many of its messages at a time. Where messages come
faster than they may be looked at, whole bursts are passed over, and counted: browsers come first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broker.link import Message
from webui.history.backlog import measurements
from webui.history.batch import Batch
from webui.history.bounds import Counts, RecorderLimits
from webui.history.bucket import Bucket
from webui.history.number import EARLIEST_MS, fields_of, json_of, moment_of, number_of
from webui.history.series import MAX_NAME_CHARACTERS, NOTHING, Naming, SeriesKey, Target

_BYTES_A_MESSAGE = 20
"""So many bytes of JSON take as long as a plain number."""


@dataclass(frozen=True, slots=True)
class _Burst:
    messages: Sequence[Message]
    time_ms: int
    is_replay: bool
    size: int


class Recorder:
    """Samples of all series, from the bridge to the next batch. Lives on one thread.

    `known` are the series of the file by number; `batch` is the number of the first batch.
    """

    def __init__(
        self,
        naming: Naming,
        known: Mapping[SeriesKey, int],
        batch: int,
        limits: RecorderLimits | None = None,
    ) -> None:
        self._naming = naming
        self.limits = limits or RecorderLimits()
        self._numbers = dict(known)
        self._next_number = max(known.values(), default=0) + 1
        self._targets: dict[str, Target] = {}
        self._bursts: deque[_Burst] = deque()
        self._place = 0
        self._waiting = 0
        self._waiting_bytes = 0
        self._batch = Batch(batch)
        self._writing: Batch | None = None
        self._room = self.limits.buckets
        self.counts = Counts()

    @property
    def series(self) -> int:
        """How many series there are."""
        return len(self._numbers)

    @property
    def waiting(self) -> int:
        """How many messages nobody has looked at."""
        return self._waiting

    @property
    def unwritten(self) -> int:
        """How many buckets are not in the file yet."""
        return self._batch.size + (self._writing.size if self._writing else 0)

    # --- from the bridge

    def take(self, messages: Sequence[Message], time_ms: int, *, is_replay: bool) -> None:
        """Put a burst aside; a replay's retained messages are no news, but for the device list."""
        size = sum([len(each.payload) for each in messages])
        if (
            self._waiting + len(messages) > self.limits.waiting
            or self._waiting_bytes + size > self.limits.waiting_bytes
        ):
            self.counts.skipped += len(messages)
            messages = [each for each in messages if each.topic == self._naming.device_list][-1:]
            size = 0
        if messages:
            self._waiting += len(messages)
            self._waiting_bytes += size
            self._bursts.append(_Burst(messages, time_ms, is_replay, size))

    def drain(self, most: int) -> bool:
        """Look at about so many messages, large ones counting as many; whether there are more."""
        while self._bursts and most > 0:
            burst = self._bursts[0]
            end = len(burst.messages)
            place = began = self._place
            while place < end and most > 0:
                message = burst.messages[place]
                place += 1
                if not (burst.is_replay and message.retain):
                    most -= self._record(message, burst.time_ms)
                    continue
                most -= 1
                if message.topic == self._naming.device_list:
                    self._learn(message.payload)
            self._waiting -= place - began
            self._place = place
            if place == end:
                self._waiting_bytes -= self._bursts.popleft().size
                self._place = 0
        return bool(self._bursts)

    def _record(self, message: Message, now_ms: int) -> int:
        """Record what there is to record; what that costs, in plain messages."""
        target = self._targets.get(message.topic) or self._find_target(message.topic)
        if target is NOTHING:
            return 1
        payload = message.payload
        if target.bare is not None:
            value = number_of(payload)
            if value is not None:
                self._sample(target.bare, now_ms, value)
            if not target.fields:
                return 1
        if target.fields:
            self._record_fields(target.fields, payload, now_ms)
        elif target.is_device_list:
            self._learn(payload)
        else:
            self._record_backlog(target.backlog_of, payload, now_ms)
        return 1 + len(payload) // _BYTES_A_MESSAGE

    def _find_target(self, topic: str) -> Target:
        if len(topic) > MAX_NAME_CHARACTERS:
            return NOTHING
        if len(self._targets) >= self.limits.topics:
            self._targets.clear()
        target = self._targets[topic] = self._naming.target(topic)
        return target

    def _record_fields(self, keys: Mapping[str, SeriesKey], payload: bytes, now_ms: int) -> None:
        said = json_of(payload)
        if not isinstance(said, dict):
            return
        time_ms = moment_of(said.get("time"), now_ms) or now_ms
        for field, value in fields_of(said, keys).items():
            self._sample(keys[field], time_ms, value)

    def _record_backlog(self, device: str, payload: bytes, now_ms: int) -> None:
        found, refused = measurements(payload, now_ms)
        self.counts.refused += refused
        for measured in found:
            for point, value in measured.points.items():
                number = self._number(SeriesKey(device, point))
                if number:
                    taken = self._batch.late_sample(
                        number, measured.time_ms, value, room=self._room
                    )
                    self._count(taken)

    def _sample(self, key: SeriesKey, time_ms: int, value: float) -> None:
        number = self._number(key)
        if time_ms < EARLIEST_MS:
            self.counts.refused += 1
        elif number:
            self._count(self._batch.sample(number, time_ms, value, room=self._room))

    def _count(self, is_taken: bool | None) -> None:
        if is_taken:
            self.counts.samples += 1
        elif is_taken is None:
            self.counts.repeated += 1
        else:
            self.counts.dropped += 1

    def _number(self, key: SeriesKey) -> int:
        """The series' number; 0 where it is one too many."""
        number = self._numbers.get(key)
        if number is not None:
            return number
        if len(self._numbers) >= self.limits.series:
            self.counts.refused += 1
            return 0
        number = self._numbers[key] = self._next_number
        self._next_number += 1
        self._batch.series[number] = key
        return number

    def _learn(self, payload: bytes) -> None:
        if self._naming.learn(payload):
            self._targets.clear()

    # --- to the file

    def hand_over(self) -> Batch:
        """The batch that is to be written now; then either `written` or `take_back`."""
        self._writing, self._batch = self._batch, Batch(self._batch.number + 1)
        self._room = self.limits.buckets - self._writing.size
        return self._writing

    def written(self) -> None:
        """The file holds what was handed over."""
        self._writing = None
        self._room = self.limits.buckets

    def take_back(self) -> None:
        """It doesn't: what was handed over is a part of the next batch."""
        assert self._writing is not None
        self._batch, self._writing = self._writing.followed_by(self._batch), None
        self._room = self.limits.buckets

    def file_is_new(self) -> None:
        """The file has lost all that it knew; the series keep their numbers."""
        self._batch.series = {number: key for key, number in self._numbers.items()}

    # --- to whoever asks

    def number(self, topic: str, field: str) -> int | None:
        """The series that is asked for; None where nothing of it was ever recorded."""
        key = self._naming.key(topic, field)
        return None if key is None else self._numbers.get(key)

    def unwritten_of(self, series: int) -> list[tuple[int, Bucket]]:
        """What the file may not hold yet, each with the number of its batch.

        Copies, since the newest one goes on. A backlog's is left out: what of it is a repeat,
        only the file can say.
        """
        batches = [self._batch] if self._writing is None else [self._writing, self._batch]
        return [
            (batch.number, bucket.within(1)) for batch in batches for bucket in batch.of(series)
        ]
