"""`tokens.json`: the tokens of programs, written by command."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from broker.errors import AccessError, TopicError
from broker.file_stamp import Stamp
from broker.private_file import edit_lock, is_readable_by_others, replace_file
from broker.token import Token, check_token_name, digest_of, new_secret
from broker.topics import check_filter

MAX_BYTES = 1024 * 1024
MAX_TOKENS = 1_000
MAX_FILTERS = 100

_log = logging.getLogger(__name__)


def _check_filter(topic_filter: str) -> str:
    if "%u" in topic_filter or "%c" in topic_filter:
        raise ValueError("%u and %c stand for nobody in a token: write the name itself")
    try:
        return check_filter(topic_filter)
    except TopicError as error:
        raise ValueError(str(error)) from None


_Name = Annotated[str, AfterValidator(check_token_name)]
_Filters = Annotated[
    list[Annotated[str, AfterValidator(_check_filter)]], Field(max_length=MAX_FILTERS)
]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    subscribe: _Filters
    publish: _Filters
    created: AwareDatetime
    expires: AwareDatetime | None

    def token(self, name: str) -> Token:
        return Token(
            name,
            self.sha256,
            tuple(self.subscribe),
            tuple(self.publish),
            self.created.timestamp(),
            self.expires.timestamp() if self.expires else None,
        )


_Entries = dict[str, _Entry]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: Annotated[dict[_Name, _Entry], Field(max_length=MAX_TOKENS)]


def read_tokens(path: Path) -> tuple[dict[str, Token], Stamp | None]:
    """The tokens of a file by name, none where there is no file; raises AccessError."""
    entries, stamp = _read(path)
    return {name: entry.token(name) for name, entry in entries.items()}, stamp


def add_token(
    path: Path,
    name: str,
    *,
    subscribe: Sequence[str] = (),
    publish: Sequence[str] = (),
    lifetime_s: float | None,
) -> str:
    """Make a token and return its secret, which is kept nowhere: show it once.

    `lifetime_s` None is for ever. It may take the name of one that has ended. Raises AccessError,
    also where the name is taken.
    """
    if not subscribe and not publish:
        raise AccessError("a token without any topic filter may do nothing: give it one")
    secret, now_s = new_secret(), time.time()

    def add(entries: _Entries) -> None:
        if name in entries and not entries[name].token(name).is_over(now_s):
            raise AccessError(f"there is a token {name}: revoke it first, or take another name")
        entries[name] = _Entry(
            sha256=digest_of(secret),
            subscribe=list(subscribe),
            publish=list(publish),
            created=_moment(now_s),
            expires=None if lifetime_s is None else _moment(now_s + lifetime_s),
        )

    _change(path, add)
    return secret


def revoke_token(path: Path, name: str) -> None:
    """Take a token away; raises AccessError where there is none of this name."""

    def revoke(entries: _Entries) -> None:
        if name not in entries:
            raise AccessError(
                f"there is no token {name}; there are: {', '.join(entries) or 'none'}"
            )
        del entries[name]

    _change(path, revoke)


def _change(path: Path, change: Callable[[_Entries], None]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with edit_lock(path):
            entries, _ = _read(path)
            change(entries)
            replace_file(path, _File(tokens=entries).model_dump_json(indent=2) + "\n")
    except ValidationError as error:
        raise AccessError(_sentences(error)) from None
    except OSError as error:
        raise AccessError(f"{path}: the tokens can't be written: {error.strerror}") from error


def _read(path: Path) -> tuple[_Entries, Stamp | None]:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return {}, None
    except OSError as error:
        raise AccessError(
            f"{path}: the tokens can't be read: {error.strerror}. Let this user read the file, or"
            " delete it: then there are no tokens"
        ) from error
    if len(raw) > MAX_BYTES:
        raise AccessError(f"{path}: the tokens are too long: {MAX_BYTES} bytes at most")
    try:
        entries = _File.model_validate_json(raw).tokens
    except ValidationError as error:
        raise AccessError(
            f"{path}: {_sentences(error)}. Mend the file, or delete it: then there are no tokens"
        ) from None
    if is_readable_by_others(status):
        _log.warning("%s can be read by other users of this machine: chmod 600 it", path)
    return entries, Stamp.of(status)


def _sentences(error: ValidationError) -> str:
    lines = []
    for fault in error.errors(include_url=False):
        place = ".".join(str(step) for step in fault["loc"] if step != "[key]")
        why = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else fault["msg"]
        lines.append(f"{place}: {why}" if place else why)
    return "; ".join(lines)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
