"""`/api/sessions`: who watches what, and how far behind they are, for admins."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from webui.errors import RefusedError
from webui.identity import identity_of
from webui.operation import Operation, json_response, query_of
from webui.roster import MAX_SESSIONS, OpenSession, Transport
from webui.state import WebState
from webui.subscription import Subscription
from webui.wire import Mode


class SessionsQuery(msgspec.Struct, frozen=True):
    """The query of `/api/sessions`: at most `limit` of them."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_SESSIONS)] = 1000


class Watch(msgspec.Struct):
    """One subscription: `behind` messages wait for it, the oldest of them for `lag_s` seconds."""

    id: int
    filters: list[str]
    mode: Mode
    max_rate_hz: float | None
    behind: int
    lag_s: float


class SessionEntry(msgspec.Struct):
    """One browser or stream since `opened` (ms since 1970, UTC).

    `user` null is nobody known, or a program with a `token`, whose name this is.
    """

    id: int
    user: str | None
    token: str | None
    address: str
    transport: Transport
    opened: int
    subscriptions: list[Watch]


class SessionList(msgspec.Struct):
    """All `count` sessions of this node, or the `limit` slowest of them; the slowest come first."""

    node: str
    count: int
    sessions: list[SessionEntry]


async def sessions(request: Request) -> Response:
    """`GET /api/sessions?limit=`: who watches what, and at which lag. Only for admins."""
    if not identity_of(request.scope).may_administer():
        raise RefusedError("forbidden", "only users in the group admin may see the sessions")
    query = query_of(request, SessionsQuery)
    state: WebState = request.app.state.web
    now_ms = time.time_ns() // 1_000_000
    entries = [_entry(session, now_ms) for session in state.roster]
    entries.sort(key=_slowness, reverse=True)
    return json_response(SessionList(state.node, len(entries), entries[: query.limit]))


SESSIONS = Operation("GET", "/api/sessions", sessions, query=SessionsQuery, answer=SessionList)


def _entry(session: OpenSession, now_ms: int) -> SessionEntry:
    watches = [_watch(subscription, now_ms) for subscription in session.subscriptions()]
    return SessionEntry(
        session.id,
        session.identity.user,
        session.identity.token_name,
        session.address,
        session.transport,
        session.opened_ms,
        watches,
    )


def _watch(subscription: Subscription, now_ms: int) -> Watch:
    cursor = subscription.cursor
    lag = cursor.lag()
    return Watch(
        cursor.frame_id,
        list(cursor.channel.filters),
        subscription.mode,
        subscription.max_rate_hz,
        lag.messages,
        lag.seconds(now_ms),
    )


def _slowness(entry: SessionEntry) -> tuple[float, int]:
    """Of its slowest subscription."""
    return max(((watch.lag_s, watch.behind) for watch in entry.subscriptions), default=(0.0, 0))
