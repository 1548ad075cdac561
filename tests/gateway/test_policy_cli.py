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


ACL = "topic read open\nuser roger\ntopic read plant/#\ntopic deny plant/secret\n"
ROGERS = """\
  - {user: roger, deny: [publish, subscribe], topics: ["plant/secret"]}
  - {user: roger, allow: [subscribe], topics: ["plant/#"]}
  - {user: roger, deny: [publish, subscribe], topics: ["open"]}
  - {user: "*", allow: [subscribe], topics: ["open"]}
"""


def test_import_prints_rules_and_says_beside_them_what_is_not_the_same(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text(ACL)
    told = policy(tmp_path, "import-mosquitto", "acl")
    assert (told.returncode, told.stdout) == (0, "rules:\n" + ROGERS)
    assert "granted as a whole here" in told.stderr
    assert "line 1: for those without a login alone" in told.stderr
    assert "line 4: since plant/secret is denied, a subscription to plant/#" in told.stderr
    assert "Each needs a login here: `fieldgate user add`, for roger." in told.stderr
    assert not (tmp_path / "users.yaml").exists()


def test_import_writes_what_is_new_before_the_last_word(folder: Path) -> None:
    (folder / "acl").write_text(ACL)
    users = folder / "users.yaml"
    last_word = '  - {user: "*", deny: [publish, subscribe], topics: ["#"]}  # and that is that\n'
    known = USERS.replace('["open"]', '["else"]')
    users.write_text(known + last_word)
    told = policy(folder, "import-mosquitto", "acl", "--write")
    assert (told.returncode, told.stdout) == (0, f"Added 4 rules to {users}.\n")
    assert users.read_text() == known + ROGERS + last_word
    assert policy(folder, "import-mosquitto", "acl", "--write").stdout.startswith("Added 0 rules")
    assert users.read_text() == known + ROGERS + last_word


def test_import_makes_the_users_file_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("pattern read a/%u\n")
    assert policy(tmp_path, "import-mosquitto", "acl", "--write").returncode == 0
    written = (tmp_path / "users.yaml").read_text()
    assert written.endswith('  - {user: "*", allow: [subscribe], topics: ["a/%u"]}\n')
    assert "{group: admin, allow: [publish, subscribe]" in written


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"topic x\nfoo\n", 1, "acl:2: foo is none of user, topic and pattern"),
        (b"topic a\n# \xff\n", 1, "acl:2: this is not UTF-8 text"),
        (b"#" * 1024 * 1024 + b"\n", 1, "acl is too long: 1048576 bytes at most"),
        (None, 2, "acl can't be read: No such file or directory"),
    ],
)
def test_import_says_what_is_wrong_with_the_file_and_writes_nothing(
    content: bytes | None, code: int, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "acl").write_bytes(content)
    told = policy(tmp_path, "import-mosquitto", "acl", "--write")
    assert (told.returncode, told.stdout) == (code, "")
    assert message in told.stderr
    assert not (tmp_path / "users.yaml").exists()
