"""Tokens in force: whose secret is right, and what of it a change of the file leaves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from broker.attempts import Attempts, source_of
from broker.errors import AccessError, TooManyAttemptsError
from broker.file_stamp import stamp_of
from broker.token import Token, digest_of
from broker.token_file import read_tokens

_log = logging.getLogger(__name__)


class Tokens:
    """Lives on one event loop, like `Users`."""

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        self._listeners: list[Callable[[], None]] = []
        self._attempts = Attempts()
        self.take_up(tokens)

    def take_up(self, tokens: Iterable[Token]) -> None:
        """Put other tokens in force."""
        self._by_digest = {token.digest: token for token in tokens}
        for listener in self._listeners:
            listener()

    def authenticate(self, secret: str, address: str = "") -> Token | None:
        """The token whose secret this is, if it hasn't ended.

        A right one is never slowed. Raises TooManyAttemptsError where too many wrong ones came
        from this address: nobody guesses one, but so nobody fills the log by trying.
        """
        token = self._by_digest.get(digest_of(secret))
        if token is not None and not token.is_over(time.time()):
            return token
        source, now = source_of(address), time.monotonic()
        if wait_s := self._attempts.wait_s(source, "", now):
            raise TooManyAttemptsError(wait_s)
        self._attempts.wrong(source, "", now)
        why = "is unknown or revoked" if token is None else f"({token.name}) has ended"
        _log.warning("A token from %s %s", address or "somewhere", why)
        return None

    def holds(self, token: Token) -> bool:
        """Whether this token is still in force, as it is."""
        return self._by_digest.get(token.digest) == token

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this, on the loop, after each change."""
        self._listeners.append(listener)

    async def reload_if_changed(self) -> bool:
        """Take up what changed on disk: nothing here."""
        return False


class TokensFile(Tokens):
    """The tokens of a file, taken up again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read the file, which may be missing; raises AccessError."""
        tokens, self._seen = read_tokens(path)
        super().__init__(tokens.values())
        self._path = path

    async def reload_if_changed(self) -> bool:
        """Take up a changed file; True where it was. A faulty one is logged, the old ones stay."""
        stamp = await asyncio.to_thread(stamp_of, self._path)
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            tokens, self._seen = await asyncio.to_thread(read_tokens, self._path)
        except AccessError as error:
            _log.error("The tokens changed and can't be used, the old ones stay: %s", error)
            return False
        self.take_up(tokens.values())
        _log.info("The tokens in %s changed and were taken up", self._path)
        return True
