"""Binary frames: numbers at fixed places, `<hHf` as Python's struct writes it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.decoders.decoder import Encoding, text_of
from gateway.errors import DecodeError
from gateway.measurement import Value
from gateway.section import Section

ByteOrder = Literal["big", "little"]

MAX_VALUES = 256

_FORMAT = re.compile(r"(\s*(\d{0,4})([xcbB?hHiIlLqQefds]))+\s*")
_PARTS = re.compile(r"(\d*)([a-zA-Z?])")


class StructConfig(Section):
    """`decoder: {type: struct, format: hHf, names: [temperature, humidity, voltage]}`"""

    type: Literal["struct"]
    format: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="The values in their order, as Python's struct has them: b B (8 bits),"
        " h H (16), i I (32), q Q (64), e f d (floats of 16, 32, 64), ? (boolean), 8s (text of 8"
        " bytes), 3x (3 bytes to pass over); small letters are signed.",
        examples=["hHf"],
    )
    names: Annotated[list[str], Field(min_length=1, max_length=MAX_VALUES)] = Field(
        description="The fields' names in the same order; an empty name skips a value."
    )
    byte_order: ByteOrder = Field(
        default="big",
        description="Which byte of a number comes first: the most or least significant.",
    )
    repeated: bool = Field(
        default=False,
        description="The format comes again and again up to the frame's end; names get _1, _2, …",
    )
    encoding: Encoding = Field(default="utf-8", description="How text is written.")

    @model_validator(mode="after")
    def _names_fit_the_format(self) -> StructConfig:
        layout(self.format, self.names, self.byte_order)
        return self


def layout(form: str, names: Sequence[str], byte_order: ByteOrder) -> struct.Struct:
    """A format, checked against its names; raises ValueError, in a sentence."""
    if not _FORMAT.fullmatch(form):
        raise ValueError(
            "format must hold x c b B ? h H i I l L q Q e f d s only, with counts as in 2h or 8s;"
            " the byte order is a key of its own"
        )
    values = sum(
        1 if letter == "s" else int(count or 1)
        for count, letter in _PARTS.findall(form)
        if letter != "x"
    )
    if values != len(names):
        raise ValueError(f"format holds {values} values, and names {len(names)}")
    named = [name for name in names if name]
    if not named:
        raise ValueError("names holds no name, as in [temperature, humidity]")
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise ValueError(f"names holds a name twice: {', '.join(twice)}")
    compiled = struct.Struct((">" if byte_order == "big" else "<") + form)
    if not compiled.size:
        raise ValueError("format takes no byte")
    return compiled


class StructDecoder:
    """A frame has exactly the bytes of the format: what is cut must not shift values.

    With `repeated`, any whole number of them; numbered from 1.
    """

    def __init__(
        self,
        form: str,
        names: Sequence[str],
        byte_order: ByteOrder = "big",
        *,
        repeated: bool = False,
        encoding: str = "utf-8",
    ) -> None:
        self._layout = layout(form, names, byte_order)
        self._names = tuple(names)
        self._repeated = repeated
        self._encoding = encoding

    def decode(self, frame: bytes) -> Mapping[str, Value]:
        size = self._layout.size
        if self._repeated:
            return dict(self._all(frame))
        if len(frame) != size:
            raise DecodeError(f"has {len(frame)} bytes, not the {size} of the format")
        return dict(self._one(self._layout.unpack(frame), ""))

    def _all(self, frame: bytes) -> Iterator[tuple[str, Value]]:
        size = self._layout.size
        times, rest = divmod(len(frame), size)
        if rest or not times:
            raise DecodeError(f"has {len(frame)} bytes, no multiple of the format's {size}")
        if times * len(self._names) > MAX_VALUES:
            raise DecodeError(f"holds the format {times} times: more than {MAX_VALUES} values")
        for number, values in enumerate(self._layout.iter_unpack(frame), start=1):
            yield from self._one(values, f"_{number}")

    def _one(self, values: Sequence[object], ending: str) -> Iterator[tuple[str, Value]]:
        for name, value in zip(self._names, values, strict=True):
            if name:
                yield f"{name}{ending}", self._value(value)

    def _value(self, value: object) -> Value:
        if isinstance(value, bytes):
            return text_of(value.rstrip(b"\0"), self._encoding).strip()
        assert isinstance(value, bool | int | float)
        return value
