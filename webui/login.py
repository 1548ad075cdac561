"""Logging in and out of the page, and who one is there: `/api/login`, `/api/logout`, `/api/me`."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from broker.access import MAX_NAME_CHARACTERS, MAX_PASSWORD_BYTES, Action
from webui.close_code import LOGGED_OUT
from webui.door import Refusal
from webui.errors import RefusedError
from webui.http_error import denied
from webui.identity import Identity, identity_of
from webui.operation import Operation, json_response, request_body
from webui.state import WebState


class Password(msgspec.Struct, frozen=True):
    """What somebody logs in with."""

    user: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARACTERS)]
    password: Annotated[str, msgspec.Meta(max_length=MAX_PASSWORD_BYTES)]


class Me(msgspec.Struct, omit_defaults=True):
    """Who asks, and the widest topic filters that they may use; `user` null is nobody known.

    `token` is the name of the token, if it is a program that has one.
    """

    user: str | None
    groups: list[str]
    subscribe: list[str]
    publish: list[str]
    token: str | None = None


class LoggedOut(msgspec.Struct):
    """The cookie is gone, and what was open with it."""

    status: Literal["logged out"]


async def log_in(request: Request) -> Response:
    """`POST /api/login`: a cookie for whoever knows a user's password; answers as `/api/me`."""
    state = _state(request)
    authenticator = state.authenticator
    if not authenticator.users.exist:
        raise RefusedError("bad_request", "there are no users, so nobody has to log in")
    given = _password(await request_body(request))
    address = request.client.host if request.client else ""
    found = await authenticator.by_password(given.user, given.password.encode(), address)
    if isinstance(found, Refusal):
        return denied(found, is_browser=True)
    response = json_response(_me(found, state))
    login = authenticator.log_in(found)
    authenticator.cookie.put(response, login, secure=_is_secure(request))
    return response


async def log_out(request: Request) -> Response:
    """`POST /api/logout`: takes the cookie away and ends what is open with it."""
    state = _state(request)
    login = identity_of(request.scope).login
    if login is not None:
        state.end_sessions(LOGGED_OUT, "logged out", whose=lambda identity: identity.has(login))
    response = json_response(LoggedOut("logged out"))
    state.authenticator.cookie.clear(response, secure=_is_secure(request))
    return response


async def me(request: Request) -> Response:
    """`GET /api/me`: who asks, and the topic filters that are theirs to subscribe and publish.

    A page that asks from time to time stays logged in: an old cookie gets a new one here.
    """
    identity = identity_of(request.scope)
    state = _state(request)
    response = json_response(_me(identity, state))
    if identity.login is not None:
        cookie = state.authenticator.cookie
        cookie.renew(response, identity.login, time.time(), secure=_is_secure(request))
    return response


LOG_IN = Operation("POST", "/api/login", log_in, body=Password, answer=Me)
LOG_OUT = Operation("POST", "/api/logout", log_out, answer=LoggedOut)
ME = Operation("GET", "/api/me", me, answer=Me)


def _password(body: bytes) -> Password:
    try:
        return msgspec.json.decode(body, type=Password)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):  # says nothing of what came
        raise RefusedError(
            "bad_request", 'the body must be {"user": "…", "password": "…"}'
        ) from None


def _me(identity: Identity, state: WebState) -> Me:
    watched = (f"{state.base_topic}/#", *state.topics)
    return Me(
        identity.user,
        sorted(identity.groups),
        list(identity.filters(Action.SUBSCRIBE, watched)),
        list(identity.filters(Action.PUBLISH)),
        identity.token_name,
    )


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _state(request: Request) -> WebState:
    state = request.app.state.web
    assert isinstance(state, WebState)
    return state
