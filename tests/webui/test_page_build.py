"""The build hook of the page, as far as it decides; that npm builds it is seen by every wheel."""

import os
from pathlib import Path
from typing import Any

import pytest

from hatch_build import BUILT, SOURCE, PageBuildError, PageBuildHook, is_current

LONG_AGO = 1_000_000_000


def tree(root: Path, *, built: int | None, source: int | None) -> Path:
    """A source tree whose page was built, and whose newest input was written, at these times."""
    if built is not None:
        write(root / BUILT, built)
    if source is not None:
        write(root / SOURCE / "package.json", LONG_AGO)
        write(root / SOURCE / "src" / "elements" / "app.ts", source)
        write(root / SOURCE / "node_modules" / "new" / "index.js", LONG_AGO + 10_000)
    return root


def write(path: Path, at: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, (at, at))


@pytest.mark.parametrize(
    ("built", "source", "current"),
    [
        (None, LONG_AGO, False),
        (LONG_AGO + 5, LONG_AGO, True),
        (LONG_AGO, LONG_AGO + 5, False),
        (LONG_AGO, None, True),
        (None, None, False),
    ],
)
def test_the_page_is_built_where_it_is_missing_or_older_than_its_source(
    tmp_path: Path, built: int | None, source: int | None, current: bool
) -> None:
    assert is_current(tree(tmp_path, built=built, source=source)) is current


def hook(root: Path, target: str) -> PageBuildHook:
    unused: Any = None  # the build's config and metadata
    return PageBuildHook(str(root), {}, unused, unused, str(root), target)


def test_a_tree_without_page_and_source_is_said_to_be_incomplete(tmp_path: Path) -> None:
    with pytest.raises(PageBuildError, match="this source tree is incomplete"):
        hook(tmp_path, "wheel").initialize("standard", {})


def test_an_sdist_is_made_without_the_page(tmp_path: Path) -> None:
    hook(tmp_path, "sdist").initialize("standard", {})
    assert not (tmp_path / BUILT).exists()
