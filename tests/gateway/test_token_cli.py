"""`fieldgate token …` as it is typed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from broker.access import TokensFile
from tests.program import ROOT

AnyOf = subprocess.CompletedProcess[str]


def token(folder: Path, *words: str) -> AnyOf:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "token", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_tokens_come_are_listed_and_go(tmp_path: Path) -> None:
    assert "no tokens" in token(tmp_path, "list").stdout
    added = token(
        tmp_path, "add", "wall", "--filter", "fieldgate/#", "--filter", "a/+", "--publish", "b"
    )
    assert added.returncode == 0, added.stderr
    secret = added.stdout.strip()
    assert re.fullmatch("fieldgate_[A-Za-z0-9_-]{43}", secret)
    assert re.search(r"Added wall .* ends 20\d\d-\d\d-\d\d .*Shown this once", added.stderr)
    found = TokensFile(tmp_path / "data" / "tokens.json").authenticate(secret)
    assert found is not None
    assert found.expires_s == found.created_s + 90 * 86_400

    token(tmp_path, "add", "short", "--publish", "c", "--expires", "1s")
    token(tmp_path, "add", "ever", "--filter", "#", "--expires", "never")
    wall, short, ever = token(tmp_path, "list").stdout.splitlines()
    assert wall.startswith("wall  watches fieldgate/# a/+  publishes b  ends 20")
    assert re.match("short  publishes c  end(s|ed) 20", short)
    assert ever == "ever  watches #  never ends"
    assert secret not in wall

    assert token(tmp_path, "revoke", "wall").stdout == "Revoked wall.\n"
    gone = token(tmp_path, "revoke", "wall")
    assert (gone.returncode, "no token wall" in gone.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["add", "a"], 1, "may do nothing: give it one"),
        (["add", "a b", "--filter", "#"], 1, "is no name for a token"),
        (["add", "a", "--filter", "#/a"], 1, "topic filter '#/a'"),
        (["add", "a", "--filter", "#", "--expires", "soon"], 2, "--expires: 'soon' is no time"),
        (["revoke", "a"], 1, "there is no token a"),
        (["list", "-c", "list.yaml"], 2, "list.yaml"),
    ],
)
def test_what_can_not_be_done_says_why(
    tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    (tmp_path / "list.yaml").write_text("- a list\n")
    ended = token(tmp_path, *words)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_faulty_file_is_said_by_each_command(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tokens.json").write_text("{")
    for words in (["list"], ["add", "a", "--filter", "#"], ["revoke", "a"]):
        ended = token(tmp_path, *words)
        assert ended.returncode == 1
        assert "Mend the file, or delete it" in ended.stderr


def test_they_are_in_the_data_folder_that_the_config_names(tmp_path: Path) -> None:
    (tmp_path / "fieldgate.yaml").write_text("data: elsewhere\n")
    assert token(tmp_path, "add", "a", "--filter", "#").returncode == 0
    assert (tmp_path / "elsewhere" / "tokens.json").exists()
