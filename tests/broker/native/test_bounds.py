"""docs/bounds.md says what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from broker.native.sys_topics import levels, totals
from tests.broker.native.test_store import running
from tests.program import ROOT

UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "bytes": 1, "s": 1, "ms": 0.001}


def rows() -> Iterator[tuple[str, str, str, str]]:
    """What, bound, where and figures of each line of the first table."""
    text = (ROOT / "docs" / "bounds.md").read_text()
    for line in text.partition("|---|---|---|---|---|\n")[2].splitlines():
        if not line.startswith("|"):
            return
        what, bound, where, _, figures = (each.strip() for each in line.strip("|").split("|"))
        yield what, bound, where.strip("`"), figures


def constant(where: str) -> float:
    module, _, name = where.rpartition(".")
    places = [f"broker.native.{module}", f"broker.{module}"]
    found = next(each for each in places if (ROOT / f"{each.replace('.', '/')}.py").is_file())
    return float(getattr(import_module(found), name))


def test_there_are_many() -> None:
    assert len(list(rows())) > 25


@pytest.mark.parametrize(
    ("bound", "where"), [(bound, where) for _, bound, where, _ in rows() if where]
)
def test_each_bound_is_what_it_says(bound: str, where: str) -> None:
    number, _, unit = bound.partition(" ")
    assert float(number.replace(",", "")) * UNITS[unit] == pytest.approx(constant(where))


async def test_each_figure_is_under_sys(tmp_path: Path) -> None:
    named = {name for *_, figures in rows() for name in re.findall(r"`([^`]+)`", figures)}
    assert len(named) > 20
    async with running(tmp_path) as broker:
        census = broker.core.census()
        told = {*totals(broker.core, census), *levels(broker.core, census)}
        told |= {f"store/{name}" for name in broker.core.store.report()}
    assert named <= told


async def test_all_that_is_told_of_the_store_is_explained(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "bounds.md").read_text()
    async with running(tmp_path) as broker:
        names = set(broker.core.store.report())
    assert names <= set(re.findall(r"`([a-z]+)`", text))
