"""The doorkeeper of the HTTP port: who somebody is, and whether they get in at all."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.access import ANONYMOUS, Users
from broker.errors import PasswordsBusyError, TooManyAttemptsError
from webui.door import (
    WRONG,
    Connecting,
    Credentials,
    Door,
    Let,
    Refusal,
    Request,
    client_address,
    judge,
)
from webui.identity import EVERYBODY, IDENTITY, NOBODY, Identity

MUST_LOG_IN = "fieldgate.must_log_in"
"""Where in an ASGI scope the doorkeeper puts whether an MQTT client must log in by its CONNECT."""

SECURITY_HEADERS = {
    b"content-security-policy": b"default-src 'self'; script-src 'self'; style-src 'self';"
    b" img-src 'self' data:; connect-src 'self'; worker-src 'self'; form-action 'self';"
    b" base-uri 'none'; object-src 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
_CHALLENGE = (b"www-authenticate", b'Basic realm="Fieldgate", charset="UTF-8"')
_NO_STORE = {b"cache-control": b"no-store"}

_log = logging.getLogger(__name__)


class Doorkeeper:
    """ASGI middleware around the whole web app: judges each request, names who asks.

    Needs the peer's true address, so uvicorn runs with `proxy_headers=False`: what a trusted proxy
    says of client and scheme is put into the scope here.
    """

    def __init__(self, app: ASGIApp, users: Users, door: Door) -> None:
        self._app = app
        self._users = users
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        is_api = self._door.path(scope["path"]).startswith("/api/")
        send = _with_headers(send, SECURITY_HEADERS | (_NO_STORE if is_api else {}))
        request = Request.of(scope)
        verdict = await self._admit(request)
        if isinstance(verdict, Refusal):
            await _refuse(verdict, scope, receive, send)
            return
        if isinstance(verdict, Connecting):
            scope = {**scope, IDENTITY: NOBODY, MUST_LOG_IN: verdict.must_log_in}
        else:
            scope = {**scope, IDENTITY: verdict}
        if self._door.trusts(request.peer):
            _believe_proxy(scope, request, self._door)
        await self._app(scope, receive, send)

    async def _admit(self, request: Request) -> Identity | Connecting | Refusal:
        policy = self._users.policy
        starred = policy.allows_something(ANONYMOUS)
        verdict = judge(request, self._door, starred=starred)
        if isinstance(verdict, Credentials):
            return await self._login(verdict, client_address(request, self._door) or "")
        if isinstance(verdict, Let):
            anonymous = Identity(ANONYMOUS.name, ANONYMOUS.groups, policy)
            return {Let.ANYBODY: EVERYBODY, Let.ANONYMOUS: anonymous, Let.UNASKED: NOBODY}[verdict]
        return verdict

    async def _login(self, credentials: Credentials, address: str) -> Identity | Refusal:
        try:
            user = await self._users.authenticate(credentials.name, credentials.password, address)
        except TooManyAttemptsError as error:
            wait_s = math.ceil(error.wait_s)
            return Refusal(429, "rate_limited", _sentence(error), retry_after_s=wait_s)
        except PasswordsBusyError as error:
            return Refusal(503, "unavailable", _sentence(error), retry_after_s=2)
        if user is None:
            _log.warning("Wrong password for user %.80r from %s", credentials.name, address)
            return WRONG
        return Identity(user.name, user.groups, self._users.policy)


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]


def _believe_proxy(scope: Scope, request: Request, door: Door) -> None:
    scope["client"] = (client_address(request, door), 0)
    scheme = request.headers.get("x-forwarded-proto", ("",))[-1].rpartition(",")[2].strip()
    if scheme in ("http", "https", "ws", "wss"):
        is_secure = scheme in ("https", "wss")
        plain = "ws" if scope["type"] == "websocket" else "http"
        scope["scheme"] = f"{plain}s" if is_secure else plain


def _with_headers(send: Send, wanted: Mapping[bytes, bytes]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = list(message.get("headers", ()))
            present = {name.lower() for name, _ in headers}
            headers += [pair for pair in wanted.items() if pair[0] not in present]
            message = {**message, "headers": headers}
        await send(message)

    return send_with_headers


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        kind = "websocket.http.response"
        if kind not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})  # the server answers 403
            return
    error = {"code": refusal.code, "message": refusal.message}
    body = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if refusal.challenge:
        headers.append(_CHALLENGE)
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
