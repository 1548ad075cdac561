from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest

from broker.access import Token, Tokens, TokensFile, add_token, revoke_token
from broker.errors import AccessError, TooManyAttemptsError
from broker.token import digest_of


def token(secret: str, *, expires_s: float | None = None) -> Token:
    return Token("bench", digest_of(secret), ("#",), (), 0, expires_s)


def test_only_the_secret_opens_and_only_until_it_has_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = time.time()
    good, old = token("good", expires_s=now + 60), token("old", expires_s=now - 1)
    tokens = Tokens([good, old])
    assert tokens.authenticate("good") == good
    assert tokens.authenticate("old", "192.0.2.1") is None
    assert tokens.authenticate("wrong", "192.0.2.1") is None
    assert tokens.authenticate(good.digest) is None
    assert caplog.messages == [
        "A token from 192.0.2.1 (bench) has ended",
        "A token from 192.0.2.1 is unknown or revoked",
        "A token from somewhere is unknown or revoked",
    ]
    assert not any(secret in caplog.text for secret in ("good", "old", "wrong"))


def test_wrong_ones_are_slowed_and_a_right_one_never_is() -> None:
    tokens = Tokens([token("good")])
    for number in range(10):
        assert tokens.authenticate(str(number), "192.0.2.1") is None
    with pytest.raises(TooManyAttemptsError, match="too many wrong logins"):
        tokens.authenticate("wrong", "192.0.2.1")
    assert tokens.authenticate("wrong", "192.0.2.2") is None
    assert tokens.authenticate("good", "192.0.2.1") is not None


async def test_a_changed_file_is_taken_up_and_a_deleted_one_has_no_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens, changes = TokensFile(path), []
    tokens.on_change(lambda: changes.append(1))
    assert not await tokens.reload_if_changed()

    secret = add_token(path, "a", subscribe=["#"], lifetime_s=60)
    assert tokens.authenticate(secret) is None
    assert await tokens.reload_if_changed()
    assert not await tokens.reload_if_changed()
    found = tokens.authenticate(secret)
    assert found is not None
    assert tokens.holds(found)

    revoke_token(path, "a")
    assert await tokens.reload_if_changed()
    assert not tokens.holds(found)

    again = add_token(path, "a", subscribe=["a"], lifetime_s=60)
    assert await tokens.reload_if_changed()
    assert tokens.authenticate(again) is not None
    assert not tokens.holds(found), "another of the same name"
    path.unlink()
    assert await tokens.reload_if_changed()
    assert tokens.authenticate(again) is None
    assert len(changes) == 4


async def test_a_token_whose_rights_are_edited_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    secret = add_token(path, "a", subscribe=["#"], lifetime_s=60)
    tokens = TokensFile(path)
    before = tokens.authenticate(secret)
    assert before is not None
    file = json.loads(path.read_text())
    file["tokens"]["a"]["subscribe"] = ["fieldgate/#"]
    path.write_text(json.dumps(file))
    assert await tokens.reload_if_changed()
    assert not tokens.holds(before)
    now = tokens.authenticate(secret)
    assert now is not None
    assert now.subscribe == ("fieldgate/#",)


async def test_a_faulty_change_is_logged_once_and_the_old_tokens_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens.json"
    secret = add_token(path, "a", subscribe=["#"], lifetime_s=60)
    tokens = TokensFile(path)
    path.write_text("{")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert not await tokens.reload_if_changed()
    assert len(caplog.messages) == 1
    assert "the old ones stay" in caplog.text
    assert tokens.authenticate(secret) is not None


def test_a_program_does_not_start_with_a_faulty_file(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text("{")
    with pytest.raises(AccessError, match="Mend the file, or delete it"):
        TokensFile(tmp_path / "tokens.json")


async def test_tokens_of_no_file_never_change() -> None:
    assert not await Tokens().reload_if_changed()
