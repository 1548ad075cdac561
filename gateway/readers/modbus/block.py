"""Which points are read in one request: neighbours in the same table. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.measurement import Value
from gateway.readers.modbus.register import BIT_TABLES, RegisterConfig, Table

MAX_REGISTERS = 125
MAX_BITS = 2000
"""Most that one request may ask for (Modbus Application Protocol V1.1b3, 6.1 to 6.4)."""


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of one table, and the points in it."""

    table: Table
    start: int
    count: int
    points: Mapping[str, RegisterConfig]

    def values(self, words: Sequence[int]) -> Iterator[tuple[str, Value]]:
        """What each point is, of the words or bits that a request for the block brought."""
        for point, register in self.points.items():
            place = register.address - self.start
            yield point, register.value(words[place : place + register.count])

    def apart(self) -> list[Block]:
        """A block for each point: for a device that refuses what lies between them."""
        return [_block({point: register}) for point, register in self.points.items()]


def blocks(registers: Mapping[str, RegisterConfig], max_gap: int = 0) -> list[Block]:
    """As few blocks as there can be, over gaps of at most `max_gap` registers nobody asked for."""
    found: list[Block] = []
    points: dict[str, RegisterConfig] = {}
    in_order = sorted(registers.items(), key=lambda item: (item[1].table, item[1].address))
    for point, register in in_order:
        if points and not _fits(_block(points), register, max_gap):
            found.append(_block(points))
            points = {}
        points[point] = register
    return [*found, _block(points)] if points else []


def _fits(block: Block, register: RegisterConfig, max_gap: int) -> bool:
    most = MAX_BITS if block.table in BIT_TABLES else MAX_REGISTERS
    return (
        register.table == block.table
        and register.address - (block.start + block.count) <= max_gap
        and register.address + register.count - block.start <= most
    )


def _block(points: Mapping[str, RegisterConfig]) -> Block:
    start = min(register.address for register in points.values())
    end = max(register.address + register.count for register in points.values())
    return Block(next(iter(points.values())).table, start, end - start, dict(points))
