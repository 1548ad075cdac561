"""A token: what a program shows instead of a password. It may do what its filters say, no more."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from hashlib import sha256

from broker.policy import ANYBODY, Action, Policy, Rule

PREFIX = "fieldgate_"
"""What each begins with, so that people and scanners know one when they see it."""

_NAME = re.compile("[A-Za-z0-9_.@-]{1,64}")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LIFETIME = re.compile("([1-9][0-9]{0,8})([smhdw])")
MAX_LIFETIME_S = 100 * 366 * 86_400
"""A century; what should last longer is meant to last for ever."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token as we keep it: times are seconds since 1970, `expires_s` None is never.

    `digest` is all that we know of the secret itself. That has 256 random bits, so nobody guesses
    it from a plain hash.
    """

    name: str
    digest: str
    subscribe: tuple[str, ...]
    publish: tuple[str, ...]
    created_s: float
    expires_s: float | None

    @property
    def policy(self) -> Policy:
        """What it may do: it belongs to nobody, and no rule of users.yaml speaks of it."""
        rules = ((Action.SUBSCRIBE, self.subscribe), (Action.PUBLISH, self.publish))
        return Policy(
            tuple(
                Rule(allow=True, actions=frozenset({action}), topics=filters, user=ANYBODY)
                for action, filters in rules
                if filters
            )
        )

    def is_over(self, now_s: float) -> bool:
        """Whether it has ended by itself."""
        return self.expires_s is not None and now_s >= self.expires_s


def new_secret() -> str:
    """What the program will show: 256 random bits, in characters that need no quoting."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What is kept of it."""
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()


def check_token_name(name: str) -> str:
    """Return `name` if a token may be called so; raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!a} is no name for a token: 1 to 64 letters, digits, _ . @ -")
    return name


def parse_lifetime(text: str) -> float | None:
    """Seconds of `90d`, `12h` and the like (s, m, h, d, w), None for `never`; raises ValueError."""
    if text == "never":
        return None
    found = _LIFETIME.fullmatch(text)
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not 0 < seconds <= MAX_LIFETIME_S:
        raise ValueError(f"{text!r} is no time to last: say 90d, 12h, 30m, 52w or never")
    return seconds
