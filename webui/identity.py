"""Who is on the other side of a request or a WebSocket, and what they may do there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.access import ADMIN_GROUP, OPEN, Action, Policy, Token, User
from webui.close_code import LOGIN_TOO_OLD, TOKEN_ENDED
from webui.cookie import Login

IDENTITY = "fieldgate.identity"
"""Where in an ASGI scope the doorkeeper puts the identity."""


@dataclass(frozen=True, slots=True)
class End:
    """When a session must end (in seconds since 1970), with which close code, and why."""

    at_s: float
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is on the other side of one HTTP request or WebSocket, and what they may do."""

    user: str | None
    groups: frozenset[str]
    policy: Policy
    address: str = ""
    login: Login | None = None
    """The cookie that they came with."""

    token: Token | None = None
    """The token, where this is a program; it has no user then, nor groups."""

    @property
    def who(self) -> str:
        """For people: who this is, within a sentence."""
        if self.token is not None:
            return f"token {self.token.name}"
        return f"user {self.user!a}" if self.user is not None else "somebody without a login"

    @property
    def token_name(self) -> str | None:
        """Which program this is; None for people and for nobody known."""
        return self.token.name if self.token else None

    @property
    def end(self) -> End | None:
        """When and how their sessions end; None where nothing ends by itself."""
        if self.login is not None:
            return End(self.login.ends_s, LOGIN_TOO_OLD, "the login is too old")
        if self.token is not None and self.token.expires_s is not None:
            return End(self.token.expires_s, TOKEN_ENDED, "the token has ended")
        return None

    def may_publish(self, topic: str) -> bool:
        """Whether they may publish to this topic name."""
        return self.policy.may(self._asker(), Action.PUBLISH, topic)

    def may_subscribe(self, topic_filter: str) -> bool:
        """Whether they may watch everything that this topic filter matches."""
        return self.policy.grants(self._asker(), topic_filter)

    def has(self, login: Login) -> bool:
        """Whether this is somebody with that login, be its cookie the same or an older one."""
        return self.login is not None and self.login.id == login.id

    def may_administer(self) -> bool:
        """Whether the admin calls are open to them."""
        return self._asker().may_administer

    def filters(self, action: Action, besides: Iterable[str] = ()) -> tuple[str, ...]:
        """The widest topic filters that they are allowed, of those in rules and in `besides`."""
        return self.policy.filters_granted(self._asker(), action, besides=besides)

    def _asker(self) -> User:
        return User(self.user, self.groups)


EVERYBODY = Identity(None, frozenset({ADMIN_GROUP}), OPEN)
"""Anybody at all, where no users exist and everything is allowed."""

NOBODY = Identity(None, frozenset(), Policy())
"""Whoever asks for `/health/…` or `/mqtt`: nobody asked who it is, so nothing is allowed."""


def identity_of(scope: Mapping[str, Any]) -> Identity:
    """Who the doorkeeper let in with this scope; a KeyError means that it stood at no door."""
    identity = scope[IDENTITY]
    assert isinstance(identity, Identity)
    return identity
