"""Who somebody is, by what they show: a password, a token or the cookie of a login."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from hmac import compare_digest

from broker.access import ANONYMOUS, Tokens, Users
from broker.errors import PasswordsBusyError, TooManyAttemptsError
from webui.cookie import Login, LoginCookie, new_login
from webui.door import WRONG, WRONG_TOKEN, Refusal
from webui.identity import EVERYBODY, Identity

_log = logging.getLogger(__name__)


class Authenticator:
    """Makes identities, by the users as they are at that moment."""

    def __init__(self, users: Users, tokens: Tokens, cookie: LoginCookie) -> None:
        self.users = users
        self.tokens = tokens
        self.cookie = cookie

    @property
    def starred(self) -> bool:
        """Whether rules for "*" allow anything."""
        return self.users.policy.allows_something(ANONYMOUS)

    def anybody(self, address: str) -> Identity:
        """Whoever comes where everything is allowed."""
        return replace(EVERYBODY, address=address)

    def anonymous(self, address: str) -> Identity:
        """Somebody who showed nothing."""
        return Identity(ANONYMOUS.name, ANONYMOUS.groups, self.users.policy, address)

    def by_cookie(self, header: str, address: str, *, secure: bool) -> Identity | None:
        """Who logged in, if their login is still good."""
        login = self.cookie.read(header, time.time(), secure=secure)
        user = self.users.find(login.user) if login else None
        if login is None or user is None:
            return None
        fingerprint = self.users.fingerprint(login.user) or ""
        if not compare_digest(fingerprint, login.fingerprint):
            return None
        return Identity(user.name, user.groups, self.users.policy, address, login)

    async def by_password(self, name: str, password: bytes, address: str) -> Identity | Refusal:
        """Who has this name, if the password is right; an unknown name is a wrong password."""
        try:
            user = await self.users.authenticate(name, password, address)
        except TooManyAttemptsError as error:
            return _slowed(error)
        except PasswordsBusyError as error:
            return Refusal(503, "unavailable", _sentence(error), retry_after_s=2)
        if user is None:
            _log.warning("Wrong password for user %.80r from %s", name, address)
            return WRONG
        return Identity(user.name, user.groups, self.users.policy, address)

    def by_token(self, secret: str, address: str) -> Identity | Refusal:
        """The program whose token this is: nobody, with the token's rights."""
        try:
            token = self.tokens.authenticate(secret, address)
        except TooManyAttemptsError as error:
            return _slowed(error)
        if token is None:
            return WRONG_TOKEN
        return Identity(None, frozenset(), token.policy, address, token=token)

    def still_counts(self, identity: Identity) -> bool:
        """Whether nothing has changed since of what their rights come from."""
        if identity.token is not None:
            return self.tokens.holds(identity.token)
        return identity.policy is self.users.policy  # another object after each change

    def log_in(self, identity: Identity) -> Login:
        """A login of somebody whose password has just been right."""
        name = identity.user or ""
        return new_login(name, self.users.fingerprint(name) or "", time.time())


def _slowed(error: TooManyAttemptsError) -> Refusal:
    wait_s = math.ceil(error.wait_s)
    return Refusal(429, "rate_limited", _sentence(error), retry_after_s=wait_s)


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
