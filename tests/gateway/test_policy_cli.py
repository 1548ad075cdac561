"""`fieldgate policy …` as it is typed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import ROOT

HASH = "$argon2id$v=19$m=64,t=1,p=1$" + "A" * 22 + "$" + "A" * 43
USERS = f"""\
users:
  ha: {{password: "{HASH}", groups: [homeassistant]}}
  wall: {{password: "{HASH}"}}
rules:
  - {{group: homeassistant, allow: [publish, subscribe], topics: ["homeassistant/#"]}}
  - {{user: wall, allow: [subscribe], topics: ["clients/%c"]}}
  - {{user: "*", allow: [subscribe], topics: ["open"]}}
"""


def policy(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "policy", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    users = tmp_path / "users.yaml"
    users.write_text(USERS)
    users.chmod(0o600)
    return tmp_path


def test_explain_names_the_user_the_file_and_what_decides(folder: Path) -> None:
    told = policy(folder, "explain", "ha", "homeassistant/status")
    assert told.returncode == 0
    lines = told.stdout.splitlines()
    assert lines[0] == f"ha, of the groups homeassistant, by {folder}/users.yaml:"
    assert lines[1] == "publish: allowed by rule 1 (users.yaml:5)"
    assert "subscribe: allowed by rule 1 (users.yaml:5)" in lines


def test_explain_takes_a_client_id_a_group_and_nobody(folder: Path) -> None:
    own = policy(folder, "explain", "wall", "clients/one", "--client-id", "one").stdout
    assert own.startswith("wall, of no group, by ")
    assert "subscribe: allowed by rule 2" in own
    to_come = policy(folder, "explain", "eve", "homeassistant/x", "--group", "homeassistant")
    assert "publish: allowed by rule 1" in to_come.stdout
    nobody = policy(folder, "explain", "*", "open")
    assert nobody.stdout.startswith("Somebody without a login, by ")
    assert "subscribe: allowed by rule 3" in nobody.stdout
    (folder / "fieldgate.yaml").write_text("broker: {anonymous: false}\n")
    locked = policy(folder, "explain", "*", "open")
    assert (locked.returncode, "broker.anonymous is false" in locked.stdout) == (0, True)


def test_where_there_are_no_users_everything_is_allowed(tmp_path: Path) -> None:
    told = policy(tmp_path, "explain", "ha", "a")
    assert (told.returncode, "everything is allowed" in told.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("eve", "a"), 1, "has no user eve; it has ha, wall"),
        (("ha", "a/#/b"), 2, "must be the whole last level"),
        (("*", "a", "--group", "g"), 2, "is in no group"),
    ],
)
def test_explain_ends_with_a_code_and_a_reason(
    words: tuple[str, ...], code: int, message: str, folder: Path
) -> None:
    told = policy(folder, "explain", *words)
    assert (told.returncode, told.stdout) == (code, "")
    assert message in told.stderr


def test_explain_says_what_is_wrong_with_the_users_file_or_the_config(folder: Path) -> None:
    (folder / "users.yaml").write_text("users: []\n")
    told = policy(folder, "explain", "ha", "a")
    assert (told.returncode, "users.yaml:1: users must be a mapping" in told.stderr) == (1, True)
    (folder / "users.yaml").write_text(USERS)
    (folder / "fieldgate.yaml").write_text("broker: {anonymous: perhaps}\n")
    told = policy(folder, "explain", "*", "a")
    assert (told.returncode, "broker.anonymous" in told.stderr) == (2, True)
