"""The figures of a run as a table, for a terminal or for docs/performance.md."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

HEAD = ("work", "figure", "Fieldgate", "Mosquitto", "ratio")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, as measured in each round on each side; `peer` is empty where there is none."""

    title: str
    figure: str
    ours: tuple[float, ...]
    peers: tuple[float, ...] = ()
    is_compared: bool = True

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        return (self.title, self.figure, spread(self.ours), spread(self.peers), self.ratio)

    @property
    def ratio(self) -> str:
        """Ours by theirs, where that says something."""
        if not self.is_compared or not self.peers or not statistics.median(self.peers):
            return "-"
        return f"{number(statistics.median(self.ours) / statistics.median(self.peers))}"


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
    lines = [HEAD, *_once(rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_markdown(rows: Sequence[Row]) -> str:
    lines = [HEAD, ("---", "---", "---:", "---:", "---:"), *_once(rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _once(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    before = ""
    for row in rows:
        title, *rest = row.cells
        lines.append(("" if title == before else title, *rest))
        before = title
    return lines
