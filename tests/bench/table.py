"""The figures of a run as a table, for a terminal or for docs/performance.md."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, as measured in each round on each side: ours first, then the peers."""

    title: str
    figure: str
    rounds: Mapping[str, Sequence[float]]
    """By the side's name."""
    is_compared: bool = True

    @property
    def ours(self) -> Sequence[float]:
        return next(iter(self.rounds.values()))

    def cells(self, peers: Sequence[str]) -> tuple[str, ...]:
        found = [self.title, self.figure, spread(self.ours)]
        for peer in peers:
            found += (spread(self.rounds.get(peer, ())), self.ratio(peer))
        return tuple(found)

    def ratio(self, peer: str) -> str:
        """Ours by theirs, where that says something."""
        theirs = self.rounds.get(peer)
        if not self.is_compared or not theirs or not statistics.median(theirs):
            return "-"
        return number(statistics.median(self.ours) / statistics.median(theirs))


def number(value: float) -> str:
    """To three digits: 1,230,000; 20.4; 0.0519."""
    if not math.isfinite(value):
        return "-"
    if abs(value) < 1000:
        return f"{value:.3g}"
    return f"{round(value, 2 - math.floor(math.log10(abs(value)))):,.0f}"


def spread(values: Sequence[float]) -> str:
    """The median of the rounds, and where they differ the least and the greatest."""
    if not values:
        return "-"
    middle, least, most = (
        number(value) for value in (statistics.median(values), min(values), max(values))
    )
    return middle if least == most else f"{middle} ({least} to {most})"


def as_text(rows: Sequence[Row]) -> str:
    """Columns for a terminal; a title stands once."""
    lines = _lines(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_markdown(rows: Sequence[Row]) -> str:
    head, *lines = _lines(rows)
    ruler = ["---" if column < 2 else "---:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ruler, *lines))


def _lines(rows: Sequence[Row]) -> list[Sequence[str]]:
    """The head, then a line for each row; of rows that all begin with the same side."""
    ours, *peers = dict.fromkeys(name for row in rows for name in row.rounds)
    lines: list[Sequence[str]] = [("work", "figure", ours, *_with_ratios(peers))]
    before = ""
    for row in rows:
        title, *rest = row.cells(peers)
        lines.append(("" if title == before else title, *rest))
        before = title
    return lines


def _with_ratios(peers: Sequence[str]) -> list[str]:
    return [head for peer in peers for head in (peer, "ratio")]
