"""A reader made of halves: bytes from a port, cut by a framer, understood by a decoder."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gateway.decoders import Decoder
from gateway.errors import DecodeError
from gateway.framers import JOINING, BadFrame, Framer, Rejects
from gateway.measurement import Measurement
from gateway.readers.asking import Asking
from gateway.readers.line import Line
from gateway.readers.reader import BytePort, Clock, Content, wall_clock_ms

LOG = logging.getLogger(__name__)

SHOWN_BYTES = 80


class Decoded:
    """Each frame becomes a measurement with the time at which its last bytes were read.

    A frame that makes no sense is counted and passed over; the first one since the opening is
    logged, because with a wrong baudrate there is nothing else to see.
    """

    def __init__(
        self,
        name: str,
        port: BytePort,
        framer: Framer,
        rejects: Rejects,
        decoder: Decoder,
        clock: Clock = wall_clock_ms,
        *,
        line: Line | None = None,
        asking: Asking | None = None,
    ) -> None:
        """`rejects` is where the framer counts, `line` the way to tell the hardware something."""
        self._name = name
        self._port = port
        self._framer = framer
        self._rejects = rejects
        self._decoder = decoder
        self._clock = clock
        self._line = line
        self._asking = asking
        self._quiet_s = 0.0
        self._may_complain = True

    @property
    def rejected(self) -> Mapping[str, int]:
        return self._rejects.counts

    @property
    def bad_frames(self) -> Sequence[BadFrame]:
        return self._rejects.last

    def open(self) -> None:
        self._port.open()
        self._framer.restart()
        self._may_complain = True
        self._quiet_s = 0.0
        if self._asking is not None:
            self._asking.restart()

    def read(self) -> Sequence[Measurement]:
        before = self._rejects.total
        frames = self._frames() if self._asking is None else self._answers(self._asking)
        time_ms = self._rejects.time_ms  # of the last bytes that came
        measurements = list(self._measurements(frames, time_ms))
        if self._may_complain and (news := self._rejects.total - before):
            self._complain(self._rejects.last[-news:])
        return measurements

    def close(self) -> None:
        self._port.close()
        if self._asking is not None:
            self._asking.restart()

    def write(self, _point: str, content: Content) -> None:
        """See `Writing`."""
        if self._line is None or not isinstance(content, bytes):
            raise ValueError(f"{self._name} takes no commands")
        self._line.write(content)

    def _frames(self, most_s: float = math.inf) -> list[bytes]:
        """What came within the framer's pause, or `most_s` where that is less."""
        wait_s = min(self._framer.pause_s, most_s)
        chunk = self._port.read(wait_s)
        if chunk:
            self._rejects.time_ms = self._clock()
            self._quiet_s = 0.0
            return self._framer.feed(chunk)
        self._quiet_s += wait_s
        if self._quiet_s < self._framer.pause_s:
            return []
        self._quiet_s = 0.0
        return self._framer.silence()

    def _answers(self, asking: Asking) -> list[bytes]:
        asking.ask()
        frames = self._frames(asking.wait_s)
        if frames:
            asking.answered()
        elif (request := asking.given_up()) is not None:
            self._framer.restart()
            self._rejects.time_ms = self._clock()
            self._rejects.note("no_answer", request)
        return frames

    def _measurements(self, frames: Iterable[bytes], time_ms: int) -> Iterator[Measurement]:
        for frame in frames:
            try:
                yield Measurement(time_ms, self._decoder.decode(frame))
            except DecodeError as error:
                self._rejects.note("undecodable", frame, str(error))
                LOG.debug("%s: a frame %s: %r", self._name, error, frame[:SHOWN_BYTES])

    def _complain(self, news: Sequence[BadFrame]) -> None:
        bad = next((bad for bad in news if bad.reason not in JOINING), None)
        if bad is not None:
            self._may_complain = False
            LOG.warning("%s: a frame %s; further ones are only counted", self._name, bad.why)
