"""The HTTP API: what is there now, publishing, and the program's health."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute

from broker.access import Action
from webui.auth import identity_of
from webui.errors import RefusedError
from webui.sse import events_endpoint
from webui.state import WebState
from webui.websocket import websocket_endpoint
from webui.wire import (
    MAX_REQUEST_BYTES,
    body_of,
    check_filters,
    decode_publication,
    encode_json,
)


class TopicsQuery(msgspec.Struct, frozen=True):
    """The query of `/api/topics`: a page of at most `limit`, newer than the seq `after`."""

    filter: str = "#"
    limit: int = 1000
    after: int = 0


MAX_PAGE = 10_000
"""Topics in one answer of `/api/topics`; `next` leads on."""


async def topics(request: Request) -> Response:
    """`GET /api/topics?filter=&limit=&after=`: last values, ascending by seq."""
    try:
        query = msgspec.convert(dict(request.query_params), TopicsQuery, strict=False)
    except msgspec.ValidationError as error:
        raise RefusedError("bad_request", f"the query can't be used: {error}") from None
    if not 1 <= query.limit <= MAX_PAGE or query.after < 0:
        raise RefusedError("bad_request", f"limit goes from 1 to {MAX_PAGE}, after from 0")
    (topic_filter,) = check_filters([query.filter])
    if not identity_of(request.scope).may_subscribe(topic_filter):
        raise RefusedError("forbidden", f"may not subscribe to {topic_filter}")
    hub = _state(request).hub
    entries = hub.last_values(topic_filter, after=query.after)
    page = entries[: query.limit]
    answer = {
        "epoch": hub.epoch,
        "seq": hub.seq,
        "topics": [msgspec.Raw(body_of(entry, True)) for entry in page],
        "next": page[-1].seq if len(page) < len(entries) else None,
    }
    return _json(answer)


async def publish(request: Request) -> Response:
    """`POST /api/publish`: 202 once the link has taken the message over."""
    publication = decode_publication(await _body(request))
    _state(request).publish(identity_of(request.scope), publication, 0)
    return _json({"status": "accepted"}, 202)


async def devices(request: Request) -> Response:
    """`GET /api/devices`: what the gateway announces on `<base>/bridge/devices`."""
    state = _state(request)
    topic = f"{state.base_topic}/bridge/devices"
    if not identity_of(request.scope).may_subscribe(topic):
        raise RefusedError("forbidden", f"may not subscribe to {topic}")
    payload = state.hub.last_payload(topic)
    if payload is None:
        return _json({"base": state.base_topic, "devices": []})
    return Response(payload, media_type="application/json")


async def me(request: Request) -> Response:
    """`GET /api/me`: who asks, and the topic filters that are theirs to subscribe and publish."""
    identity = identity_of(request.scope)
    state = _state(request)
    watched = (f"{state.base_topic}/#", *state.topics)
    return _json(
        {
            "user": identity.user,
            "groups": sorted(identity.groups),
            "subscribe": identity.filters(Action.SUBSCRIBE, watched),
            "publish": identity.filters(Action.PUBLISH),
        }
    )


async def live(_request: Request) -> Response:
    """`GET /health/live`: this process answers."""
    return _json({"status": "live"})


async def ready(request: Request) -> Response:
    """`GET /health/ready`: what browsers see is up to date, or 503 with the reason."""
    reason = _state(request).why_not_ready()
    if reason:
        return _json({"status": "unavailable", "reason": reason}, 503)
    return _json({"status": "ready"})


routes = [
    Mount(
        "/api",
        routes=[
            Route("/topics", topics, methods=["GET"]),
            Route("/publish", publish, methods=["POST"]),
            Route("/devices", devices, methods=["GET"]),
            Route("/me", me, methods=["GET"]),
            Route("/events", events_endpoint, methods=["GET"]),
            WebSocketRoute("/ws", websocket_endpoint),
        ],
    ),
    Mount(
        "/health",
        routes=[
            Route("/live", live, methods=["GET"]),
            Route("/ready", ready, methods=["GET"]),
        ],
    ),
]


def _state(request: Request) -> WebState:
    state = request.app.state.web
    assert isinstance(state, WebState)
    return state


def _json(value: object, status: int = 200) -> Response:
    return Response(
        encode_json(value),
        status,
        {"cache-control": "no-store"},
        media_type="application/json",
    )


async def _body(request: Request) -> bytes:
    """The request's body; raises RefusedError as soon as it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise RefusedError("too_large", f"{MAX_REQUEST_BYTES} bytes in a request at most")
    return bytes(body)
