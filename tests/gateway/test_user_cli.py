"""`fieldgate user …` as it is typed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from argon2 import PasswordHasher

from tests.program import ROOT


def user(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "user", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def test_users_come_are_listed_and_go(tmp_path: Path) -> None:
    assert "no users" in user(tmp_path, "list").stdout
    added = user(tmp_path, "add", "ada", "--group", "admin", "--password-stdin", stdin="secret\n")
    assert (added.returncode, "Start Fieldgate again" in added.stdout) == (0, True)
    assert user(tmp_path, "add", "bob", "--password-stdin", stdin="x\n").returncode == 0
    assert user(tmp_path, "list").stdout == "ada  admin\nbob\n"
    assert user(tmp_path, "passwd", "bob", "--password-stdin", stdin="y\n").returncode == 0
    assert user(tmp_path, "remove", "bob").returncode == 0
    gone = user(tmp_path, "remove", "bob")
    assert (gone.returncode, "no user bob" in gone.stderr) == (1, True)


def test_a_password_can_be_made_and_is_shown_once(tmp_path: Path) -> None:
    added = user(tmp_path, "add", "meter", "--random-password")
    assert added.returncode == 0, added.stderr
    (first,) = re.findall(r"password  ([a-z2-9]{24})  ", added.stdout)
    changed = user(tmp_path, "passwd", "meter", "--random-password")
    (second,) = re.findall(r"password  ([a-z2-9]{24})  ", changed.stdout)
    assert first != second
    written = (tmp_path / "users.yaml").read_text()
    assert "$argon2id$v=19$m=1024,t=1,p=1$" in written
    assert second not in written
    assert PasswordHasher().verify(written.split('"')[1], second)
    both = user(tmp_path, "passwd", "meter", "--random-password", "--password-stdin")
    assert (both.returncode, "give one of them" in both.stderr) == (2, True)


def test_the_config_that_needs_a_user_first_can_be_given_one(tmp_path: Path) -> None:
    (tmp_path / "fieldgate.yaml").write_text(
        "users_file: people.yaml\nbroker: {anonymous: false}\n"
    )
    added = user(tmp_path, "add", "ada", "--password-stdin", stdin="secret\n")
    assert added.returncode == 0, added.stderr
    assert (tmp_path / "people.yaml").exists()


def test_a_config_of_no_use_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "fieldgate.yaml").write_text("- a list\n")
    ended = user(tmp_path, "list")
    assert ended.returncode == 2
    assert "fieldgate.yaml" in ended.stderr
