from __future__ import annotations

import logging
import stat
import threading
from pathlib import Path

import pytest

from webui.errors import KeyFileError
from webui.key_file import read_or_make_key


def test_a_key_is_made_once_and_only_we_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "web.secret"
    key = read_or_make_key(path)
    assert len(key) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_or_make_key(path) == key
    assert read_or_make_key(tmp_path / "other.secret") != key
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other.secret", "web.secret"]


def test_a_key_of_one_s_own_counts_without_the_line_end(tmp_path: Path) -> None:
    path = tmp_path / "web.secret"
    path.write_text("k" * 32 + "\n")
    assert read_or_make_key(path) == b"k" * 32


def test_all_who_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    keys: list[bytes] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        keys.append(read_or_make_key(tmp_path / "web.secret"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["web.secret"]


@pytest.mark.parametrize("content", [b"", b"\n", b"k" * 31, b"k" * 31 + b"\n\n", b"k" * 5000])
def test_a_key_that_is_too_short_or_too_long_is_refused_with_a_remedy(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "web.secret"
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match=r"web\.secret: .*32 to 4096\. Delete the file"):
        read_or_make_key(path)
    assert path.read_bytes() == content


def test_a_key_that_can_not_be_read_or_made_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "web.secret").mkdir()
    with pytest.raises(KeyFileError, match=r"Is a directory\. Let this user read it, or delete it"):
        read_or_make_key(tmp_path / "web.secret")
    with pytest.raises(KeyFileError, match="No such file or directory"):
        read_or_make_key(tmp_path / "nowhere" / "web.secret")


def test_a_key_that_others_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "web.secret"
    read_or_make_key(path)
    assert caplog.messages == []
    path.chmod(0o640)
    with caplog.at_level(logging.WARNING):
        read_or_make_key(path)
    assert caplog.messages == [f"{path} can be read by other users of this machine: chmod 600 it"]
