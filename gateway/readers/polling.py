"""Asking devices that only answer: when to send which request, and when to give up. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from gateway.byte_text import ByteText, bytes_of
from gateway.section import Section

MAX_REQUESTS = 64


class PollConfig(Section):
    r"""`poll: {send: "T?\r\n", every_s: 5}`"""

    send: Annotated[
        list[ByteText],
        Field(min_length=1, max_length=MAX_REQUESTS),
        BeforeValidator(
            lambda given: [given] if isinstance(given, str) else given,
            json_schema_input_type=ByteText | list[ByteText],
        ),
    ] = Field(
        description="The request, or several that are sent one after the other: text, or bytes as"
        " in hex:01 03 00 00.",
        examples=["T?\r\n"],
    )
    every_s: Annotated[float, Field(ge=0.05, le=86_400)] = Field(
        default=1.0, description="Seconds between two rounds of requests."
    )
    timeout_s: Annotated[float, Field(ge=0.01, le=60)] = Field(
        default=1.0, description="How long an answer may take."
    )


class Polling:
    """One request at a time: the next goes out after an answer, or when none came in time.

    All times are of one monotonic clock, in seconds.
    """

    def __init__(self, config: PollConfig) -> None:
        self._requests = [bytes_of(text) for text in config.send]
        self._config = config
        self._next = 0
        self._round_s: float | None = None
        self._deadline_s: float | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether a request is out."""
        return self._deadline_s is not None

    def restart(self) -> None:
        """Begin with a round at once."""
        self._next = 0
        self._round_s = self._deadline_s = None

    def due(self, now_s: float) -> bytes | None:
        """The request to send now, if any; then call `sent`."""
        if self.is_waiting:
            return None
        if self._next == 0 and self._round_s is not None and now_s < self._round_s:
            return None
        return self._requests[self._next]

    def sent(self, now_s: float) -> None:
        """The request is out."""
        if self._next == 0:  # on a grid, so that the cadence doesn't drift
            begun_s = now_s if self._round_s is None else self._round_s
            self._round_s = max(begun_s + self._config.every_s, now_s)
        self._deadline_s = now_s + self._config.timeout_s

    def answered(self) -> None:
        """A frame came; what comes unasked is nothing to it."""
        if self.is_waiting:
            self._deadline_s = None
            self._next = (self._next + 1) % len(self._requests)

    def unanswered(self, now_s: float) -> bytes | None:
        """The request that got no answer in time; the next one may go out then."""
        if self._deadline_s is None or now_s < self._deadline_s:
            return None
        request = self._requests[self._next]
        self.answered()
        return request

    def wait_s(self, now_s: float) -> float:
        """How long nothing is to be done but listen."""
        if self._deadline_s is not None:
            return max(0.0, self._deadline_s - now_s)
        if self._next or self._round_s is None:
            return 0.0
        return max(0.0, self._round_s - now_s)
