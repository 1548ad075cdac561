"""A reader made of halves: bytes from a port, cut by a framer, understood by a decoder."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from gateway.decoders import Decoder
from gateway.errors import DecodeError
from gateway.framer import LineFramer
from gateway.measurement import Measurement
from gateway.readers.reader import BytePort, Clock, Content, wall_clock_ms

LOG = logging.getLogger(__name__)

SHOWN_BYTES = 80


class Decoded:
    """Each frame becomes a measurement with the time at which its last bytes were read.

    A frame that makes no sense is counted as `undecodable` and passed over; the first one since
    the opening is logged, because with a wrong baudrate there is nothing else to see.
    """

    def __init__(
        self,
        name: str,
        port: BytePort,
        framer: LineFramer,
        decoder: Decoder,
        clock: Clock = wall_clock_ms,
        *,
        say: Callable[[bytes], None] | None = None,
    ) -> None:
        """`say` tells the hardware something, where it listens."""
        self._name = name
        self._port = port
        self._framer = framer
        self._decoder = decoder
        self._clock = clock
        self._say = say
        self._undecodable: Counter[str] = Counter()
        self._may_complain = True

    @property
    def rejected(self) -> Mapping[str, int]:
        return {**self._framer.dropped, **self._undecodable}

    def open(self) -> None:
        self._port.open()
        self._framer.restart()
        self._may_complain = True

    def read(self) -> Sequence[Measurement]:
        chunk = self._port.read()
        if not chunk:
            self._framer.silence()  # for READ_TIMEOUT_S
            return ()
        time_ms = self._clock()
        measurements: list[Measurement] = []
        for frame in self._framer.feed(chunk):
            try:
                fields = self._decoder.decode(frame)
            except DecodeError as error:
                self._reject(frame, error)
            else:
                measurements.append(Measurement(time_ms, fields))
        return measurements

    def close(self) -> None:
        self._port.close()

    def write(self, _point: str, content: Content) -> None:
        """See `Writing`."""
        if self._say is None or not isinstance(content, bytes):
            raise ValueError(f"{self._name} takes no commands")
        self._say(content)

    def _reject(self, frame: bytes, error: DecodeError) -> None:
        self._undecodable["undecodable"] += 1
        LOG.debug("%s: a line %s: %r", self._name, error, frame[:SHOWN_BYTES])
        if self._may_complain:
            self._may_complain = False
            LOG.warning("%s: a line %s; further ones are only counted", self._name, error)
