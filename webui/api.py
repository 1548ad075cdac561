"""The HTTP API: what is there now, publishing, and the program's health."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, WebSocketRoute

from webui.asyncapi import asyncapi_document
from webui.errors import RefusedError
from webui.history.api import EXPORT, HISTORY
from webui.identity import identity_of
from webui.login import LOG_IN, LOG_OUT, ME
from webui.metrics import METRICS
from webui.openapi import openapi_document
from webui.operation import Operation, json_response, query_of, request_body
from webui.roster import address_of
from webui.session_list import SESSIONS
from webui.sse import EVENTS
from webui.state import WebState
from webui.tail import TAIL
from webui.topic_tree import DeviceList
from webui.websocket import websocket_endpoint
from webui.wire import (
    Publication,
    TopicFilter,
    WireMessage,
    body_of,
    check_filters,
    decode_publication,
)

MAX_PAGE = 10_000
"""Topics in one answer of `/api/topics`; `next` leads on."""


class TopicsQuery(msgspec.Struct, frozen=True):
    """The query of `/api/topics`: a page of at most `limit`, newer than the seq `after`."""

    filter: TopicFilter = "#"
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 1000
    after: Annotated[int, msgspec.Meta(ge=0)] = 0


class TopicsPage(msgspec.Struct):
    """Last values, ascending by seq; `next` is the `after` of the next page, null at the end."""

    epoch: str
    seq: int
    topics: list[WireMessage]
    next: int | None


class Accepted(msgspec.Struct):
    """The message is on its way to the broker."""

    status: Literal["accepted"]


class Live(msgspec.Struct):
    """This process answers."""

    status: Literal["live"]


class Ready(msgspec.Struct):
    """What browsers see is up to date."""

    status: Literal["ready"]


class NotReady(msgspec.Struct):
    """Why what browsers see may be out of date."""

    status: Literal["unavailable"]
    reason: str


async def topics(request: Request) -> Response:
    """`GET /api/topics?filter=&limit=&after=`: last values, ascending by seq."""
    query = query_of(request, TopicsQuery)
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
    return json_response(answer)


async def publish(request: Request) -> Response:
    """`POST /api/publish`: publish a message; it is accepted once the link has taken it over."""
    state, identity = _state(request), identity_of(request.scope)
    publication = decode_publication(await request_body(request))
    if not state.authenticator.still_counts(identity):  # a body may take its time
        raise RefusedError("unavailable", "what you may has changed meanwhile: ask again")
    state.publish_from(address_of(request))(identity, publication, 0)
    return json_response(Accepted("accepted"), 202)


async def devices(request: Request) -> Response:
    """`GET /api/devices`: what the gateway announces on `<base>/bridge/devices`."""
    state = _state(request)
    topic = f"{state.base_topic}/bridge/devices"
    if not identity_of(request.scope).may_subscribe(topic):
        raise RefusedError("forbidden", f"may not subscribe to {topic}")
    payload = state.hub.last_payload(topic)
    try:
        msgspec.json.decode(payload or b"", type=DeviceList)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # nothing yet, or nothing of a gateway's
        return json_response(DeviceList(state.base_topic, []))
    return Response(payload, media_type="application/json")


async def live(_request: Request) -> Response:
    """`GET /health/live`: this process answers."""
    return json_response(Live("live"))


async def ready(request: Request) -> Response:
    """`GET /health/ready`: what browsers see is up to date, or 503 with the reason."""
    state = _state(request)
    reason = "the server stops" if state.roster.is_stopping else state.why_not_ready()
    if reason:
        return json_response(NotReady("unavailable", reason), 503)
    return json_response(Ready("ready"))


async def openapi(request: Request) -> Response:
    """`GET /openapi.json`: the document of this HTTP API."""
    state = _state(request)
    return json_response(
        openapi_document(OPERATIONS, version=state.version, base_path=_base_path(request))
    )


async def asyncapi(request: Request) -> Response:
    """`GET /asyncapi.json`: the document of the WebSocket and of the MQTT topic tree."""
    state = _state(request)
    return json_response(
        asyncapi_document(
            version=state.version,
            base_topic=state.base_topic,
            host=request.url.netloc,
            base_path=_base_path(request),
        )
    )


OPERATIONS = (
    Operation("GET", "/api/topics", topics, query=TopicsQuery, answer=TopicsPage),
    Operation("POST", "/api/publish", publish, body=Publication, answer=Accepted, status=202),
    Operation("GET", "/api/devices", devices, answer=DeviceList),
    HISTORY,
    EXPORT,
    ME,
    LOG_IN,
    LOG_OUT,
    EVENTS,
    TAIL,
    SESSIONS,
    METRICS,
    Operation("GET", "/health/live", live, answer=Live),
    Operation("GET", "/health/ready", ready, answer=Ready, otherwise={503: NotReady}),
    Operation("GET", "/openapi.json", openapi, answer=dict[str, Any]),
    Operation("GET", "/asyncapi.json", asyncapi, answer=dict[str, Any]),
)
"""The whole HTTP API; what is added here is served and documented."""


def api_routes() -> list[BaseRoute]:
    """Where Starlette finds all of it, and the WebSocket."""
    in_api = [each.route(below="/api") for each in OPERATIONS if each.path.startswith("/api/")]
    others = [each.route() for each in OPERATIONS if not each.path.startswith("/api/")]
    return [
        Mount("/api", routes=[*in_api, WebSocketRoute("/ws", websocket_endpoint)]),
        *others,
    ]


def _base_path(request: Request) -> str:
    """Below which path all of this lies."""
    return str(request.scope.get("root_path", ""))


def _state(request: Request) -> WebState:
    state = request.app.state.web
    assert isinstance(state, WebState)
    return state
