"""What one device can't share with another: its name, its id, its port."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Claim(NamedTuple):
    """What one device wants for itself alone."""

    name: object
    id: object
    port: object
    line: object = None
    """What the devices on one port must agree on; None where a port is one device's alone."""

    match: object = None
    """What a port is found by, where it isn't named."""


class Clash(NamedTuple):
    """A claim that an earlier device has made already."""

    path: tuple[str | int, ...]
    value: object
    why: str


def clashes(claims: Sequence[Claim]) -> Iterator[Clash]:
    """Each name, id and serial port that two devices want; odd values claim nothing."""
    taken: dict[tuple[str, str], int] = {}
    for place, claim in enumerate(claims):
        wanted: list[tuple[str, tuple[str, ...], object]] = [
            ("name", ("name",), claim.name),
            ("id", ("id",), claim.id),
            ("port", ("reader", "port"), claim.port),
            ("match", ("reader", "match"), claim.match),
        ]
        for kind, path, value in wanted:
            if not isinstance(value, str) or value.startswith("loop:"):
                continue
            key = os.path.normpath(value) if kind == "port" and "://" not in value else value
            first = taken.setdefault((kind, key), place)
            if first == place:
                continue
            if kind == "id" and claim.name == claims[first].name:
                continue  # follows from the name, which is reported
            if kind == "port" and claim.line is not None and claim.line == claims[first].line:
                continue
            why = {
                "name": "each device needs a name of its own",
                "id": "each device needs an id of its own",
                "match": "a port has one owner: read it as one device",
                "port": "a port has one owner: read it as one device"
                if None in (claim.line, claims[first].line)
                else "devices on one port need the same baudrate, parity and stopbits",
            }[kind]
            yield Clash(("devices", place, *path), value, f"devices.{first} has it already: {why}")
