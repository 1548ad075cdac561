"""The login cookie: who logged in and when, signed, and bound to the account as it was then.

Nothing is kept of a login: who has the key can judge every cookie. One is good until it is too
old, or until the user's password or groups change.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from hashlib import blake2b, sha256

from itsdangerous import BadData, URLSafeSerializer
from starlette.requests import cookie_parser
from starlette.responses import Response

MAX_AGE_S = 30 * 86_400
"""How long a login lasts when nobody comes; a page that is open renews it."""

RENEWED_AFTER_S = 86_400
"""How old a login must be for a new cookie: pages ask more often than anybody needs one."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a cookie says: `issued_s` is in seconds since 1970, `fingerprint` the account's."""

    user: str
    issued_s: int
    fingerprint: str
    id: str
    """Stays the same when the cookie is renewed."""

    @property
    def ends_s(self) -> int:
        """When it is too old, in seconds since 1970."""
        return self.issued_s + MAX_AGE_S


def new_login(user: str, fingerprint: str, now_s: float) -> Login:
    """A login of somebody who has just proved who they are."""
    return Login(user, int(now_s), fingerprint, secrets.token_hex(8))


class LoginCookie:
    """Puts logins into cookies, and reads them again, with one key.

    Cookies know no ports: the name holds a part of the key's digest, so that two programs on one
    machine don't log each other's users out. Under TLS its prefix keeps others from setting it.
    """

    def __init__(self, key: bytes, base_path: str = "") -> None:
        self._serializer = URLSafeSerializer(
            key,
            salt="fieldgate.login",
            signer_kwargs={"key_derivation": "hmac", "digest_method": sha256},
        )
        self._name = "fieldgate-" + blake2b(key, digest_size=4, person=b"cookie").hexdigest()
        self._path = base_path or "/"

    def name(self, *, secure: bool) -> str:
        """The cookie's name; `__Host-` may only be said of the path / [RFC 6265bis 4.1.3.2]."""
        if not secure:
            return self._name
        return f"__Host-{self._name}" if self._path == "/" else f"__Secure-{self._name}"

    def put(self, response: Response, login: Login, *, secure: bool) -> None:
        """Have the browser keep a login."""
        said = [login.user, login.issued_s, login.fingerprint, login.id]
        self._set(response, self._serializer.dumps(said), MAX_AGE_S, secure=secure)

    def renew(self, response: Response, login: Login, now_s: float, *, secure: bool) -> None:
        """Have the browser keep a login longer, where that is worth a new cookie."""
        if now_s - login.issued_s >= RENEWED_AFTER_S:
            self.put(response, replace(login, issued_s=int(now_s)), secure=secure)

    def clear(self, response: Response, *, secure: bool) -> None:
        """Have the browser forget the login."""
        self._set(response, "", 0, secure=secure)

    def read(self, header: str, now_s: float, *, secure: bool) -> Login | None:
        """The login of a Cookie header, if there is one that we signed and that isn't too old."""
        text = cookie_parser(header).get(self.name(secure=secure), "")
        try:
            login = Login(*self._serializer.loads(text))
        except BadData:
            return None
        return login if now_s < login.ends_s else None

    def _set(self, response: Response, value: str, max_age_s: int, *, secure: bool) -> None:
        response.set_cookie(
            self.name(secure=secure),
            value,
            max_age=max_age_s,
            path=self._path,
            secure=secure,
            httponly=True,
            samesite="strict",
        )
