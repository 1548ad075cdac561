"""What tells one version of a file from the next."""

from __future__ import annotations

import asyncio
from pathlib import Path

from broker.file_stamp import stamp_of


async def test_rights_that_are_put_right_are_a_change(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    path.write_text("x")
    before = stamp_of(path)
    async with asyncio.timeout(5):  # a file system's clock may go by ten milliseconds
        while stamp_of(path) == before:
            await asyncio.sleep(0.005)
            path.chmod(0o600)


def test_a_file_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert stamp_of(tmp_path / "users.yaml") is None
