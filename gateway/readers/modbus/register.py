"""Where a point lies in a Modbus device's tables, and what its words mean. Pure.

Tables and their addresses, counted from 0, are those of the "Modbus Application Protocol
Specification V1.1b3", 4.3 and 4.4; how values are longer than a register is each maker's choice.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.measurement import Value
from gateway.section import Section

Table = Literal["holding", "input", "coil", "discrete"]

FORMATS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
"""How `struct` calls the types of registers; a string has as many registers as it says."""

BIT_TABLES = ("coil", "discrete")
WRITABLE_TABLES = ("holding", "coil")

MAX_STRING_REGISTERS = 32


class RegisterConfig(Section):
    """`temperature: {address: 0, type: int16}`"""

    address: Annotated[int, Field(ge=0, le=65_535)] = Field(
        description="Where it begins in its table, counted from 0 (a manual's 40001 is holding 0)."
    )
    table: Table = Field(
        default="holding",
        description="holding and input hold registers, coil and discrete single bits.",
    )
    type: Literal[
        "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "string"
    ] = Field(default="uint16", description="What the registers mean; of no matter for bits.")
    byte_order: Literal["big", "little"] = Field(
        default="big", description="Of the two bytes of a register; big by the specification."
    )
    word_order: Literal["big", "little"] = Field(
        default="big", description="Of the registers of one value: big has the highest first."
    )
    length: Annotated[int, Field(ge=1, le=MAX_STRING_REGISTERS)] | None = Field(
        default=None, description="Registers of a string, two characters each."
    )
    bit: Annotated[int, Field(ge=0, le=63)] | None = Field(
        default=None, description="The lowest bit of a bit field, 0 the least significant."
    )
    bits: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="Width of the bit field: 1 gives true and false, more a number."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.type == "string") != (self.length is not None):
            raise ValueError("`length` belongs to type string, and a string needs it")
        if self.bit is None:
            if self.bits != 1:
                raise ValueError("`bits` needs `bit`, the lowest of them")
        elif self.table in BIT_TABLES or not self.type.startswith("uint"):
            raise ValueError("`bit` takes bits out of an unsigned register: give a type uint…")
        elif self.bit + self.bits > 16 * self.count:
            raise ValueError(f"{self.type} has no bit {self.bit + self.bits - 1}")
        if self.address + self.count > 65_536:
            raise ValueError(f"{self.count} registers from {self.address} on go beyond 65535")
        return self

    @property
    def count(self) -> int:
        """How many registers (or bits, of a bit table) it takes."""
        if self.table in BIT_TABLES:
            return 1
        if self.length is not None:
            return self.length
        return struct.calcsize(FORMATS[self.type]) // 2

    @property
    def is_writable(self) -> bool:
        """Whether its table can be written at all."""
        return self.table in WRITABLE_TABLES

    def value(self, words: Sequence[int]) -> Value:
        """What `count` registers (or one bit) hold."""
        if self.table in BIT_TABLES:
            return bool(words[0])
        content = b"".join(word.to_bytes(2, self.byte_order) for word in self._ordered(words))
        if self.type == "string":
            return content.split(b"\0", 1)[0].decode(errors="replace").strip()
        (number,) = struct.unpack(f">{FORMATS[self.type]}", content)
        if self.bit is not None:
            field = (number >> self.bit) & self._mask
            return bool(field) if self.bits == 1 else field
        assert isinstance(number, int | float)
        return number

    def words(self, value: Value, before: Sequence[int]) -> list[int]:
        """What to write for a value; `before` is there now, for what a bit field leaves alone.

        Raises ValueError, in a sentence, for a value that doesn't fit.
        """
        if self.table in BIT_TABLES:
            return [self._bit(value)]
        if self.type == "string":
            return self._text(value)
        if self.bit is not None:
            return self._with_field(value, before)
        return self._number(value)

    def _number(self, value: Value) -> list[int]:
        if not isinstance(value, int | float):
            raise ValueError(f"{value!r} is no number")
        try:
            number = value if self.type.startswith("float") else round(value)
            content = struct.pack(f">{FORMATS[self.type]}", number)
        except (struct.error, OverflowError, ValueError):
            raise ValueError(f"{value} is no {self.type}") from None
        return self._cut(content)

    def _with_field(self, value: Value, before: Sequence[int]) -> list[int]:
        field = self._bit(value) if self.bits == 1 else value
        if not isinstance(field, int) or not 0 <= field <= self._mask:
            raise ValueError(f"{value!r} is no number of {self.bits} bits")
        content = b"".join(word.to_bytes(2, self.byte_order) for word in self._ordered(before))
        (number,) = struct.unpack(f">{FORMATS[self.type]}", content)
        lowest = self.bit or 0
        number = number & ~(self._mask << lowest) | field << lowest
        return self._cut(struct.pack(f">{FORMATS[self.type]}", number))

    def _text(self, value: Value) -> list[int]:
        content = str(value).encode()
        if len(content) > 2 * self.count:
            raise ValueError(f"{value!r} is longer than {2 * self.count} bytes")
        return self._cut(content.ljust(2 * self.count, b"\0"))

    def _cut(self, content: bytes) -> list[int]:
        pairs = (content[place : place + 2] for place in range(0, len(content), 2))
        return list(self._ordered([int.from_bytes(pair, self.byte_order) for pair in pairs]))

    def _ordered(self, words: Sequence[int]) -> Sequence[int]:
        return words if self.word_order == "big" else words[::-1]

    def _bit(self, value: Value) -> int:
        if not isinstance(value, bool) and value not in (0, 1):
            raise ValueError(f"{value!r} is neither true nor false")
        return int(bool(value))

    @property
    def _mask(self) -> int:
        return (1 << self.bits) - 1
