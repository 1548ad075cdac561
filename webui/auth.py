"""The doorkeeper of the HTTP port: who somebody is, and whether they get in at all."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webui.authenticator import Authenticator
from webui.door import (
    Bearer,
    Connecting,
    Credentials,
    Door,
    Let,
    Refusal,
    Request,
    client_address,
    judge,
)
from webui.http_error import denied
from webui.identity import IDENTITY, NOBODY, Identity

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
_NO_STORE = {b"cache-control": b"no-store"}


class Doorkeeper:
    """ASGI middleware around the whole web app: judges each request, names who asks.

    Needs the peer's true address, so uvicorn runs with `proxy_headers=False`: what a trusted proxy
    says of client and scheme is put into the scope here.
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator, door: Door) -> None:
        self._app = app
        self._authenticator = authenticator
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        is_api = self._door.path(scope["path"]).startswith("/api/")
        send = _with_headers(send, SECURITY_HEADERS | (_NO_STORE if is_api else {}))
        request = Request.of(scope)
        scope = dict(scope)
        if self._door.trusts(request.peer):
            _believe_proxy(scope, request, self._door)
        admitted = await self._admit(request, scope)
        if isinstance(admitted, Refusal):
            await _refuse(admitted, request, scope, receive, send)
            return
        scope[IDENTITY] = admitted
        await self._app(scope, receive, send)

    async def _admit(self, request: Request, scope: Scope) -> Identity | Refusal:
        known = self._authenticator
        address = client_address(request, self._door) or ""
        cookie = "; ".join(request.headers.get("cookie", ()))
        visitor = known.by_cookie(cookie, address, secure=is_secure(scope)) if cookie else None
        verdict = judge(request, self._door, starred=known.starred, logged_in=visitor is not None)
        match verdict:
            case Credentials(name, password):
                return await known.by_password(name, password, address)
            case Bearer(secret):
                return known.by_token(secret, address)
            case Let.ANYBODY:
                return known.anybody(address)
            case Let.ANONYMOUS:
                return known.anonymous(address)
            case Let.LOGGED_IN:
                assert visitor is not None
                return visitor
            case Let.UNASKED:
                return NOBODY
            case Connecting(must_log_in):
                scope[MUST_LOG_IN] = must_log_in
                return visitor or NOBODY
            case Refusal():
                return verdict


def is_secure(scope: Scope) -> bool:
    """Whether nobody between the browser and us, or our proxy, can read along."""
    return scope.get("scheme") in ("https", "wss")


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


async def _refuse(
    refusal: Refusal, request: Request, scope: Scope, receive: Receive, send: Send
) -> None:
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})  # the server answers 403
            return
    response = denied(refusal, is_browser=request.is_from_browser)
    await response(scope, receive, send)
