"""`python -m tests.bench`; see docs/performance.md."""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import sys
import tempfile
import time
from pathlib import Path

import pytest
import uvloop

from tests.bench import machine
from tests.bench.load import CpuClock
from tests.bench.scenario import SCENARIOS, Figures, Scenario, Start, Work
from tests.bench.table import Row, as_markdown, as_text, spread

MOST_SECONDS = 20
"""Sessions answer no pings, and uvicorn hangs up on them after 40 s."""

ROUNDS = 3

ELSEWHERE = "CPU elsewhere, %"
QUIET_PERCENT = 20
"""Of one core: what others may use while we measure; where it is more, we measure again."""

ATTEMPTS = 2


def main() -> int:
    chosen = _arguments()
    scenarios = [each for each in SCENARIOS if not chosen.only or each.name in chosen.only]
    work = Work(seconds=chosen.seconds or (1.0 if chosen.quick else 5.0))
    rounds = 1 if chosen.quick else chosen.rounds
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(machine.described(), flush=True)
    rows: list[Row] = []
    for scenario in scenarios:
        rows += measured(scenario, work, rounds)
    shown = as_markdown(rows) if chosen.markdown else as_text(rows)
    print(f"\n{shown}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=…",
        description="The same work on Fieldgate and on its peers; ratio = Fieldgate by peer.",
    )
    parser.add_argument("--only", action="append", choices=[each.name for each in SCENARIOS])
    parser.add_argument("--seconds", type=_seconds, help="of each measurement (5)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each scenario ({ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="one round of one second each")
    parser.add_argument("--markdown", action="store_true", help="the table as Markdown")
    return parser.parse_args()


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"from 0.1 to {MOST_SECONDS}")
    return seconds


def measured(scenario: Scenario, work: Work, rounds: int) -> list[Row]:
    """Run a scenario, on the sides by turns, so that what disturbs the machine disturbs all.

    A side whose programs are missing is said to be, and left out.
    """
    found: dict[str, list[Figures]] = {}
    starts = list(scenario.starts)
    for _ in range(rounds):
        for start in tuple(starts):
            try:
                name, figures = _quietest(scenario, start, work)
            except pytest.skip.Exception as missing:
                print(f"{scenario.name:16} goes without {start.__name__}: {missing}", flush=True)
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


def _quietest(scenario: Scenario, start: Start, work: Work) -> tuple[str, Figures]:
    """Of up to `ATTEMPTS` the one that others disturbed the least; how it came out has no say."""
    name, best = _once(scenario, start, work)
    for _ in range(ATTEMPTS - 1):
        if best[ELSEWHERE] <= QUIET_PERCENT:
            break
        _, figures = _once(scenario, start, work)
        best = min(best, figures, key=lambda each: each[ELSEWHERE])
    return name, best


def _once(scenario: Scenario, start: Start, work: Work) -> tuple[str, Figures]:
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
        print(f"{scenario.name:16} {side.name:10} {shown}", flush=True)
    return side.name, figures


if __name__ == "__main__":
    sys.exit(main())
