"""`/api/events`: the same messages as Server-Sent Events, for `curl -N` and EventSource."""

from __future__ import annotations

import random

import msgspec
from starlette.requests import Request

from webui.operation import Operation, query_of
from webui.state import WebState
from webui.stream import MessageStream, StreamFormat, Wish
from webui.wire import (
    Gap,
    Mode,
    RateHz,
    Since,
    TopicFilters,
    check_filters,
    encode_json,
    events_of_messages,
)

MEDIA_TYPE = "text/event-stream"

RETRY_MS = 3000
"""How long an EventSource waits before it comes back."""

RETRY_AFTER_END_MS = (1000, 5000)
"""And when it is us who end the stream: each another while, so that not all come back at once."""


class EventQuery(msgspec.Struct, frozen=True):
    """The query of `/api/events`; `last_event_id` is for clients that can't set the header."""

    filter: TopicFilters
    mode: Mode = "all"
    max_rate_hz: RateHz | None = None
    last_event_id: Since | None = None


async def events(request: Request) -> MessageStream:
    """`GET /api/events?filter=&…`: last values, then what comes, as Server-Sent Events.

    `data` of an event is a message (a `WireMessage`), its `id` is `<epoch>-<seq>`: what to send as
    `Last-Event-ID` to go on behind it. An event `gap` says that something was missed: `data` is
    as in the `gap` frame of the WebSocket.
    """
    header = request.headers.get("last-event-id")
    query = query_of(request, EventQuery, **({} if header is None else {"last_event_id": header}))
    state: WebState = request.app.state.web
    form = StreamFormat(
        "events",
        f"{MEDIA_TYPE}; charset=utf-8",
        render=events_of_messages(state.hub.epoch),
        gap=_event_of_gap,
        greeting=b":\nretry: %d\n\n" % RETRY_MS,
        heartbeat=b":\n\n",
        farewell=lambda: b"retry: %d\n\n" % random.randint(*RETRY_AFTER_END_MS),
    )
    filters = check_filters(query.filter)
    wish = Wish(filters, query.mode, query.max_rate_hz, query.last_event_id)
    return MessageStream(request, wish, form)


EVENTS = Operation("GET", "/api/events", events, query=EventQuery, media_type=MEDIA_TYPE)


def _event_of_gap(gap: Gap) -> bytes:
    # After a reset an empty id: whoever is cut now has no place to resume from.
    place = b"id: \n" if gap.reset else b""
    return b"event: gap\n%bdata: %b\n\n" % (place, encode_json(gap))
