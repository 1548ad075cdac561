"""`python -m tests.bench`; see docs/performance.md."""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.bench import broker_scenario, history_scenario, machine, scenario
from tests.bench.load import CpuClock
from tests.bench.scenario import Figures, S, Scenario, Start, Work
from tests.bench.table import Row, as_markdown, as_text, spread

MOST_SECONDS = 20
"""Sessions answer no pings, and uvicorn hangs up on them after 40 s."""

ROUNDS = 3

ELSEWHERE = "CPU elsewhere, %"
QUIET_PERCENT = 20
"""Of one core: what others may use while we measure; where it is more, we measure again."""

ATTEMPTS = 2


FAMILIES: Mapping[str, Sequence[Scenario[Any]]] = {
    "relay": scenario.SCENARIOS,
    "broker": broker_scenario.SCENARIOS,
    "history": history_scenario.SCENARIOS,
}
"""Each is a table of its own."""


def main() -> int:
    chosen = _arguments()
    work = Work(seconds=chosen.seconds or (1.0 if chosen.quick else 5.0))
    rounds, attempts = (1, 1) if chosen.quick else (chosen.rounds, ATTEMPTS)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(machine.described(), flush=True)
    tables: list[list[Row]] = []
    for family, scenarios in FAMILIES.items():
        asked = [s for s in scenarios if not chosen.only or {family, s.name} & {*chosen.only}]
        tables.append([row for each in asked for row in measured(each, work, rounds, attempts)])
    for rows in filter(None, tables):
        print(f"\n{as_markdown(rows) if chosen.markdown else as_text(rows)}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=…",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Does the same work on Fieldgate and on its peers, by turns, and prints a table of\n"
            "what each came to; a ratio is Fieldgate's figure by that of the peer before it. All\n"
            "of it is on loopback and in temporary folders, and ends by itself. For example:\n\n"
            '  make bench ARGS="--quick --only broker"\n'
            '  make bench ARGS="--only qos1-one --only latency --seconds 10"\n\n'
            "How it is measured, and figures: docs/performance.md"
        ),
        epilog=_rows_shown(),
    )
    names = [each.name for scenarios in FAMILIES.values() for each in scenarios]
    parser.add_argument(
        "--only",
        action="append",
        choices=[*FAMILIES, *names],
        metavar="ROW",
        help="a row, or all that are about the relay, the broker or history; may be repeated",
    )
    parser.add_argument("--seconds", type=_seconds, help="of each measurement (5)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each row ({ROUNDS})")
    parser.add_argument(
        "--quick", action="store_true", help="one round of a second each: a minute for each family"
    )
    parser.add_argument("--markdown", action="store_true", help="the tables as Markdown")
    return parser.parse_args()


def _rows_shown() -> str:
    lines: list[str] = []
    for family, scenarios in FAMILIES.items():
        lines += (f"rows of `{family}`:", *(f"  {s.name:14} {s.title}" for s in scenarios))
    return "\n".join(lines)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"from 0.1 to {MOST_SECONDS}")
    return seconds


def measured(
    scenario: Scenario[Any], work: Work, rounds: int, attempts: int = ATTEMPTS
) -> list[Row]:
    """Run a scenario, on the sides by turns, so that what disturbs the machine disturbs all.

    A side whose programs are missing is said to be, and left out.
    """
    found: dict[str, list[Figures]] = {}
    starts = list(scenario.starts)
    for _ in range(rounds):
        for start in tuple(starts):
            try:
                name, figures = _quietest(scenario, start, work, attempts)
            except pytest.skip.Exception as missing:
                print(f"{scenario.name:14} goes without {start.__name__}: {missing}", flush=True)
                starts.remove(start)
            else:
                found.setdefault(name, []).append(figures)
    if not found:
        return []
    figures_known = next(iter(found.values()))[0]
    return [
        Row(
            scenario.title,
            figure,
            {name: [each[figure] for each in measured] for name, measured in found.items()},
            is_compared=figure != ELSEWHERE,
        )
        for figure in figures_known
    ]


def _quietest(
    scenario: Scenario[S], start: Start[S], work: Work, attempts: int
) -> tuple[str, Figures]:
    """Of so many attempts at most the one that others disturbed the least, however it came out."""
    name, best = _once(scenario, start, work)
    for _ in range(attempts - 1):
        if best[ELSEWHERE] <= QUIET_PERCENT:
            break
        _, figures = _once(scenario, start, work)
        best = min(best, figures, key=lambda each: each[ELSEWHERE])
    return name, best


def _once(scenario: Scenario[S], start: Start[S], work: Work) -> tuple[str, Figures]:
    """The side's name, and what it came to."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, start(Path(folder)) as side:
        gc.collect()
        gc.disable()
        clock, began = CpuClock(side), time.monotonic()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            figures: Figures = runner.run(scenario.measure(side, work))
        figures[ELSEWHERE] = 100 * clock.read().elsewhere_s / (time.monotonic() - began)
        gc.enable()
        shown = "; ".join(f"{name} {spread([value])}" for name, value in figures.items())
        print(f"{scenario.name:14} {side.name:10} {shown}", flush=True)
    return side.name, figures


if __name__ == "__main__":
    sys.exit(main())
