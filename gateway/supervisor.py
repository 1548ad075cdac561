"""A reader's thread, and what keeps it alive: open, read, go offline, wait, open again."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.framers import BadFrame
from gateway.handoff import DeviceMeasurement, DeviceStatus, Handoff
from gateway.readers import Clock, KeepsBadFrames, Reader, Rejecting, wall_clock_ms

LOG = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 5.0
"""Between two openings: soon enough for one who plugs in and looks, seldom enough for a log."""

GOOD_SPELL_S = 10.0
"""A reader that was open this long, or said something, begins with the first wait again."""

STOP_TIMEOUT_S = 5.0
"""How long after its request a stop waits for a reader: for a read or an opening that is under
way, and the closing after it."""


def waits_s(chance: random.Random) -> Iterator[float]:
    """Endless waits that double from the first to the longest, each between 0.75 and 1.25 of it."""
    wait_s = FIRST_WAIT_S
    while True:
        yield wait_s * chance.uniform(0.75, 1.25)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


@dataclass(frozen=True, slots=True)
class ReaderHealth:
    """How a reader has been doing since it was started."""

    online: bool = False
    opened: int = 0
    measurements: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    bad_frames: Sequence[BadFrame] = ()
    last_error: str = ""
    last_error_ms: int | None = None


class SupervisedReader:
    """One device's reader in a thread of its own; nothing that it does reaches another device.

    A change of status goes to the handoff once: online after each opening, offline with the
    reason when that fails or the reading ends, and offline again when the reason is another.
    """

    def __init__(
        self,
        device: str,
        reader: Reader,
        handoff: Handoff,
        *,
        clock: Clock = wall_clock_ms,
        chance: random.Random | None = None,
    ) -> None:
        self.device = device
        self._reader = reader
        self._handoff = handoff
        self._clock = clock
        self._chance = chance or random.Random()
        self._stop = threading.Event()
        self._stop_requested_s = 0.0
        self._thread = threading.Thread(target=self._run, name=f"reader {device}", daemon=True)
        self._online: bool | None = None
        self._opened = 0
        self._measurements = 0
        self._error: tuple[str, int | None] = ("", None)
        self._has_told_fault = False

    @property
    def health(self) -> ReaderHealth:
        """From any thread."""
        last_error, last_error_ms = self._error
        return ReaderHealth(
            online=self._online is True,
            opened=self._opened,
            measurements=self._measurements,
            rejected=self._reader.rejected if isinstance(self._reader, Rejecting) else {},
            bad_frames=self._reader.bad_frames if isinstance(self._reader, KeepsBadFrames) else (),
            last_error=last_error,
            last_error_ms=last_error_ms,
        )

    def start(self) -> None:
        """Begin; once."""
        self._thread.start()

    def request_stop(self) -> None:
        """Say that it is enough, and return at once: for many readers, before each one's stop."""
        if not self._stop.is_set():
            self._stop_requested_s = time.monotonic()
            self._stop.set()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """Stop, wait for it, and say whether it is done; a hung reader is left behind, logged.

        Blocks for READ_TIMEOUT_S and the closing at most where the reader keeps its promise, and
        else until `timeout_s` after the first request: many that hang cost no more than one.
        """
        self.request_stop()
        if self._thread.ident is None:  # never started
            return True
        self._thread.join(max(0.0, self._stop_requested_s + timeout_s - time.monotonic()))
        if self._thread.is_alive():
            LOG.warning("%s: the reader doesn't stop; it is left behind", self.device)
            return False
        return True

    def _run(self) -> None:
        waits = waits_s(self._chance)
        while not self._stop.is_set():
            if self._was_good_spell():
                waits = waits_s(self._chance)
            self._stop.wait(next(waits))
        if self._online:
            self._put_status(False, "stopped")

    def _was_good_spell(self) -> bool:
        """Open, read until it ends, close."""
        began_s, measured_before = time.monotonic(), self._measurements
        try:
            self._reader.open()
            self._came()
            while not self._stop.is_set():
                self._read()
        except OSError as error:  # ReaderError and pyserial's are both
            self._went(str(error))
        except Exception as error:
            if self._is_first_fault():
                LOG.exception("%s: a fault in its reader; it will be opened again", self.device)
            self._went(f"the reader failed: {type(error).__name__}: {error}")
        finally:
            self._close()
        has_measured = self._measurements > measured_before
        return has_measured or time.monotonic() - began_s >= GOOD_SPELL_S

    def _read(self) -> None:
        for measurement in self._reader.read():
            self._handoff.put(DeviceMeasurement(self.device, measurement))
            self._measurements += 1

    def _close(self) -> None:
        try:
            self._reader.close()
        except Exception:
            if self._is_first_fault():
                LOG.exception("%s: a fault in its reader's close", self.device)

    def _came(self) -> None:
        self._opened += 1
        if self._online is False:
            LOG.info("%s is back", self.device)
        self._put_status(True, "")

    def _went(self, reason: str) -> None:
        is_news = reason != self._error[0]
        self._error = (reason, self._clock())
        if self._online is not False:
            LOG.warning("%s is offline: %s", self.device, reason)
            self._put_status(False, reason)
        elif is_news:  # unplugged first, then plugged in without permission
            LOG.debug("%s is still offline: %s", self.device, reason)
            self._put_status(False, reason)

    def _put_status(self, online: bool, reason: str) -> None:
        self._online = online
        self._handoff.put(DeviceStatus(self.device, online, reason, self._clock()))

    def _is_first_fault(self) -> bool:
        """A traceback is logged once: a fault that repeats must not fill the disk."""
        is_first, self._has_told_fault = not self._has_told_fault, True
        return is_first
