"""What people install: bounded and locked dependencies, one wheel, two ways to compose."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.real_ends import program

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = [
    Requirement(line)
    for extra in PROJECT["optional-dependencies"].values()
    for line in extra
    if not line.startswith(f"{PROJECT['name']}[")  # an extra that takes in another one
]
LOCKS = {"requirements.lock": RUNTIME, "requirements-test.lock": [*RUNTIME, *EXTRAS]}

PINNED = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[\w.]+)(?: ;[^\\]*)? \\$", re.MULTILINE)


def pins(lock: str) -> dict[str, set[Version]]:
    """Every version that a lock pins, by package; more than one where markers part them."""
    found: dict[str, set[Version]] = {}
    for pin in PINNED.finditer((ROOT / lock).read_text(encoding="utf-8")):
        name = canonicalize_name(pin["name"])
        found.setdefault(name, set()).add(Version(pin["version"]))
    return found


@pytest.mark.parametrize("requirement", [*RUNTIME, *EXTRAS], ids=str)
def test_every_dependency_is_bounded_both_ways(requirement: Requirement) -> None:
    operators = {specifier.operator for specifier in requirement.specifier}
    assert operators >= {">=", "<"} or operators == {"=="}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_dependency_within_its_bounds(lock: str) -> None:
    pinned = pins(lock)
    astray = [
        str(requirement)
        for requirement in LOCKS[lock]
        if not (versions := pinned.get(canonicalize_name(requirement.name)))
        or not all(version in requirement.specifier for version in versions)
    ]
    assert astray == [], "run `make lock`"


def test_both_locks_pin_the_same_versions() -> None:
    runtime, test = pins("requirements.lock"), pins("requirements-test.lock")
    assert {name: test.get(name) for name in runtime} == runtime


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_place_to_download_from(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert re.search(r"://|^\s*--(?!hash=)|^\S+ @ ", text, re.MULTILINE) is None


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_hashes_for_every_pin(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    starts = [line for line in text.splitlines() if re.match(r"\w", line)]
    assert len(starts) == len(re.findall(r"^\w.* \\\n +--hash=sha256:", text, re.MULTILINE))
    assert len(starts) == len(PINNED.findall(text))


def test_a_wheel_holds_the_packages_and_the_built_page_but_not_its_sources(tmp_path: Path) -> None:
    wanted = {"broker/topics.py", "gateway/cli.py", "webui/app.py", "webui/static/index.html"}
    for file in (*wanted, "webui/ui/src/main.ts", "webui/ui/node_modules/lit.js", "tests/test.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    for file in ("pyproject.toml", ".gitignore"):
        shutil.copy(ROOT / file, tmp_path)
    files = WheelBuilder(str(tmp_path)).recurse_included_files()
    assert {file.distribution_path for file in files} == wanted


@pytest.mark.parametrize("profile", [None, "default", "mosquitto"])
def test_compose_accepts_the_file_in_each_profile(profile: str | None) -> None:
    chosen = [] if profile is None else ["--profile", profile]
    result = subprocess.run(
        [program("docker-compose"), *chosen, "config", "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_test_that_is_skipped_in_ci_fails(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n\ndef test_it():\n    pytest.skip('no such program')\n"
    )

    def run(environment: dict[str, str]) -> str:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "."],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        ).stdout

    elsewhere = {key: value for key, value in os.environ.items() if key != "CI"}
    assert "1 skipped" in run(elsewhere)
    in_ci = run({**elsewhere, "CI": "true"})
    assert "Nothing may be skipped in CI. Skipped: no such program" in in_ci
    assert "1 failed" in in_ci
