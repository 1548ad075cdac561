from __future__ import annotations

import json
import logging
import stat
import time
from pathlib import Path

import pytest

from broker.access import add_token, read_tokens, revoke_token
from broker.errors import AccessError
from broker.token import digest_of
from broker.token_file import MAX_TOKENS

ENTRY = {
    "sha256": "0" * 64,
    "subscribe": ["a/#"],
    "publish": [],
    "created": "2026-11-21T08:15:30Z",
    "expires": None,
}


def test_a_token_is_kept_as_a_hash_that_only_we_can_read(tmp_path: Path) -> None:
    path = tmp_path / "data" / "tokens.json"
    before = time.time()
    secret = add_token(path, "bench", subscribe=["a/#"], publish=["b"], lifetime_s=3600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in path.read_text()
    (token,) = read_tokens(path)[0].values()
    assert token.name == "bench"
    assert token.digest == digest_of(secret)
    assert (token.subscribe, token.publish) == (("a/#",), ("b",))
    assert before - 1 <= token.created_s <= time.time()
    assert token.expires_s == token.created_s + 3600


def test_tokens_come_and_go_by_name(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    assert read_tokens(path) == ({}, None)
    add_token(path, "one", subscribe=["#"], lifetime_s=None)
    add_token(path, "two", publish=["#"], lifetime_s=None)
    assert list(read_tokens(path)[0]) == ["one", "two"]
    revoke_token(path, "one")
    assert list(read_tokens(path)[0]) == ["two"]
    with pytest.raises(AccessError, match="there is no token one; there are: two"):
        revoke_token(path, "one")
    revoke_token(path, "two")
    with pytest.raises(AccessError, match="there are: none"):
        revoke_token(path, "two")


def test_a_name_is_taken_until_its_token_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"tokens": {"old": ENTRY | {"expires": "2026-01-01T00:00:00Z"}}}))
    path.chmod(0o600)
    add_token(path, "old", subscribe=["b"], lifetime_s=60)
    assert read_tokens(path)[0]["old"].subscribe == ("b",)
    with pytest.raises(AccessError, match="there is a token old: revoke it first"):
        add_token(path, "old", subscribe=["c"], lifetime_s=60)


@pytest.mark.parametrize(
    ("name", "filters", "words"),
    [
        ("", ["a"], "'' is no name for a token: 1 to 64 letters"),
        ("a b", ["a"], "'a b' is no name for a token"),
        ("é", ["a"], "is no name for a token"),
        ("a", [], "may do nothing: give it one"),
        ("a", ["a", "b/#/c"], r"subscribe\.1: topic filter 'b/#/c'"),
        ("a", [""], r"subscribe\.0: a topic filter must have"),
        ("a", ["home/%u"], "%u and %c stand for nobody in a token"),
        ("a", ["a"] * 101, "at most 100 items"),
    ],
)
def test_what_is_wrong_with_a_token_is_said_and_nothing_written(
    tmp_path: Path, name: str, filters: list[str], words: str
) -> None:
    path = tmp_path / "tokens.json"
    with pytest.raises(AccessError, match=words):
        add_token(path, name, subscribe=filters, lifetime_s=60)
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ("{}", "tokens: Field required"),
        (json.dumps({"tokens": {}, "more": 1}), "more: Extra inputs are not permitted"),
        (json.dumps({"tokens": {"a": {}}}), r"tokens\.a\.sha256: Field required"),
        (json.dumps({"tokens": {"a b": ENTRY}}), r"tokens\.a b: 'a b' is no name for a token"),
        (
            json.dumps({"tokens": {"a": ENTRY | {"sha256": "secret"}}}),
            r"tokens\.a\.sha256: String should match",
        ),
        (
            json.dumps({"tokens": {"a": ENTRY | {"publish": ["#/a"]}}}),
            r"tokens\.a\.publish\.0: topic filter '#/a'",
        ),
        (
            json.dumps({"tokens": {"a": ENTRY | {"expires": "2026-01-01T00:00:00"}}}),
            r"tokens\.a\.expires: Input should have timezone info",
        ),
        (
            json.dumps({"tokens": {f"t{n}": ENTRY for n in range(MAX_TOKENS + 1)}}),
            f"tokens: Dictionary should have at most {MAX_TOKENS} items",
        ),
        ("[" * 10_000, "Invalid JSON"),
        (" " * (1024 * 1024 + 1), "too long: 1048576 bytes at most"),
    ],
)
def test_a_file_of_no_use_says_what_is_wrong_and_what_to_do(
    tmp_path: Path, content: str, words: str
) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content)
    with pytest.raises(AccessError, match=words) as refused:
        read_tokens(path)
    assert str(path) in str(refused.value)
    with pytest.raises(AccessError, match=words):
        add_token(path, "new", subscribe=["a"], lifetime_s=60)
    assert path.read_text() == content


def test_one_token_too_many_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"tokens": {f"t{n}": ENTRY for n in range(MAX_TOKENS)}}))
    path.chmod(0o600)
    with pytest.raises(AccessError, match=f"at most {MAX_TOKENS} items"):
        add_token(path, "new", subscribe=["a"], lifetime_s=60)


def test_a_file_that_can_not_be_read_or_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").mkdir()
    with pytest.raises(AccessError, match="the tokens can't be read: Is a directory"):
        read_tokens(tmp_path / "tokens.json")
    (tmp_path / "file").touch()
    with pytest.raises(AccessError, match="the tokens can't be written: "):
        add_token(tmp_path / "file" / "tokens.json", "a", subscribe=["a"], lifetime_s=60)


def test_a_file_that_others_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens.json"
    add_token(path, "a", subscribe=["a"], lifetime_s=60)
    read_tokens(path)
    assert caplog.messages == []
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        read_tokens(path)
    assert "chmod 600" in caplog.text
