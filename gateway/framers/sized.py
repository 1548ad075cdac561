"""Frames whose size is known: always the same, or said by a field at their beginning. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.byte_text import ByteText, bytes_of
from gateway.framers.checksum import Checksum
from gateway.framers.framer import MAX_FRAME_BYTES, PAUSE_S, Ledger, Rejects, length_before
from gateway.framers.section import FramingSection


@dataclass(frozen=True, slots=True)
class FixedSize:
    """Every frame has so many bytes."""

    size: int
    head: int = 0

    def of(self, _head: bytes) -> int:
        return self.size


@dataclass(frozen=True, slots=True)
class SizeField:
    """A frame's first `head` bytes say how many it has."""

    offset: int
    size: int
    byte_order: Literal["big", "little"]
    adds: int

    @property
    def head(self) -> int:
        return self.offset + self.size

    def of(self, head: bytes) -> int:
        return int.from_bytes(head[self.offset :], self.byte_order) + self.adds


class _SizedSection(FramingSection):
    start: ByteText | None = Field(
        default=None,
        description="What every frame begins with: text, or bytes as in hex:AA 55.",
        examples=["hex:AA 55"],
    )


class FixedLengthConfig(_SizedSection):
    """`framing: {type: fixed_length, length: 12, start: "hex:AA 55"}`"""

    type: Literal["fixed_length"]
    length: Annotated[int, Field(ge=1, le=65_536)] = Field(
        description="How many bytes a frame has, start and checksum included."
    )

    @property
    def counted(self) -> FixedSize:
        """Where a frame's size comes from."""
        return FixedSize(self.length)

    @model_validator(mode="after")
    def _fits_its_bound(self) -> FixedLengthConfig:
        if self.length > self.max_bytes:
            raise ValueError(f"length {self.length} is more than max_bytes {self.max_bytes}")
        if self.start is not None and self.length < len(bytes_of(self.start)):
            raise ValueError(f"length {self.length} is less than start has")
        return self


class LengthFieldConfig(_SizedSection):
    """`framing: {type: length_field, start: "hex:68", offset: 1, adds: 4}`"""

    type: Literal["length_field"]
    offset: Annotated[int, Field(ge=0, le=64)] = Field(
        default=0, description="How many bytes stand before the field, start included."
    )
    size: Literal[1, 2, 4] = Field(default=1, description="How many bytes the field has.")
    byte_order: Literal["big", "little"] = Field(
        default="big", description="Which of them comes first: the most or least significant."
    )
    adds: Annotated[int, Field(ge=-64, le=64)] = Field(
        default=0, description="How many bytes a frame has more than the field says."
    )

    @property
    def counted(self) -> SizeField:
        """Where a frame's size comes from."""
        return SizeField(self.offset, self.size, self.byte_order, self.adds)

    @model_validator(mode="after")
    def _start_comes_first(self) -> LengthFieldConfig:
        if self.start is not None and self.offset < len(bytes_of(self.start)):
            raise ValueError("the field can't be within start: give its offset, start included")
        return self


class SizedFramer:
    """Frames keep their start and their size field: a decoder may want them.

    Where something turns out to be no frame (by its checksum or size), the search goes on with
    its second byte: a start that was only part of some value costs no true frame. Without start
    and checksum nothing marks a frame, so one begins only after a pause. What is unfinished at a
    pause is no frame.
    """

    __slots__ = (
        "_awaits_pause",
        "_checksum",
        "_head",
        "_is_marked",
        "_joins_midway",
        "_ledger",
        "_max_bytes",
        "_pending",
        "_place",
        "_size",
        "_start",
        "pause_s",
    )

    def __init__(
        self,
        rejects: Rejects,
        size: FixedSize | SizeField,
        *,
        start: bytes = b"",
        max_bytes: int = MAX_FRAME_BYTES,
        checksum: Checksum | None = None,
        joins_midway: bool = True,
    ) -> None:
        self.pause_s = PAUSE_S
        self._size = size
        self._start = start
        self._checksum = checksum
        self._max_bytes = max_bytes
        self._head = max(size.head, len(start))
        self._is_marked = bool(start) or checksum is not None
        self._ledger = Ledger(rejects)
        self._joins_midway = joins_midway
        self._pending = b""
        self._place = 0  # in the stream, of what is pending
        self._awaits_pause = joins_midway and not self._is_marked

    def restart(self) -> None:
        self._done(len(self._pending))
        self._awaits_pause = self._joins_midway and not self._is_marked

    def feed(self, chunk: bytes) -> list[bytes]:
        self._pending += chunk
        return self._search()

    def silence(self) -> list[bytes]:
        self._awaits_pause = False
        frames: list[bytes] = []
        while self._pending:
            self._ledger.bad("partial", self._place, self._pending)
            self._done(1 if self._is_marked else len(self._pending))
            frames += self._search()
        return frames

    def _search(self) -> list[bytes]:
        frames: list[bytes] = []
        begin = 0
        while begin < len(self._pending):
            if self._awaits_pause:
                begin = len(self._pending)
                break
            size, frame = self._step(begin)
            if not size:
                break
            if frame is not None:
                frames.append(frame)
            begin += size
        self._done(begin)
        return frames

    def _step(self, begin: int) -> tuple[int, bytes | None]:
        """How many bytes are done with, and the frame in them if any; 0: more have to come."""
        stream = self._pending
        if stray := length_before(self._start, stream, begin):
            self._ledger.stray(self._place + begin, stream[begin : begin + stray])
            return stray, None
        head = stream[begin : begin + self._head]
        if len(head) < self._head:
            return 0, None
        size = self._size.of(head)
        if not self._head <= size <= self._max_bytes:
            return self._refuse("length", begin, head)
        frame = stream[begin : begin + size]
        if len(frame) < size:
            return 0, None
        content = frame if self._checksum is None else self._checksum.content(frame)
        return (size, content) if content is not None else self._refuse("checksum", begin, frame)

    def _refuse(self, reason: str, begin: int, frame: bytes) -> tuple[int, None]:
        self._ledger.bad(reason, self._place + begin, frame)
        self._awaits_pause = not self._is_marked
        return 1, None

    def _done(self, size: int) -> None:
        self._pending = self._pending[size:]
        self._place += size
