"""`/api/events`: the same messages as Server-Sent Events, for `curl -N` and EventSource."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from webui.errors import RefusedError
from webui.http_error import refused
from webui.identity import identity_of
from webui.operation import Operation, query_of
from webui.state import Ending, WebState
from webui.subscription import Subscription
from webui.wire import Gap, Mode, RateHz, check_filters, encode_json, events_of_messages

HEARTBEAT_S = 20.0
"""How often a quiet stream shows that it lives: proxies give up after 60 s."""

RETRY_MS = 3000
"""How long an EventSource waits before it comes back."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class EventQuery(msgspec.Struct, frozen=True):
    """The query of `/api/events`; `last_event_id` is for clients that can't set the header."""

    filter: list[str]
    mode: Mode = "all"
    max_rate_hz: RateHz | None = None
    last_event_id: str | None = None


class EventStream:
    """One stream, as an ASGI application; it ends when the peer goes or the server stops."""

    def __init__(self, state: WebState, filters: tuple[str, ...], query: EventQuery) -> None:
        self._state = state
        self._filters = filters
        self._query = query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._state.session(identity_of(scope)) as ending:
            if ending is None:
                too_many = RefusedError("unavailable", "too many sessions: try again later")
                await refused(too_many)(scope, receive, send)
                return
            due = asyncio.Event()
            try:
                subscription = self._subscribe(due)
            except RefusedError as refusal:
                await refused(refusal)(scope, receive, send)
                return
            try:
                is_over = await self._stream(subscription, due, ending, scope, receive, send)
            finally:
                subscription.close()
            if is_over:
                await send({"type": "http.response.body", "body": b""})

    async def _stream(
        self,
        subscription: Subscription,
        due: asyncio.Event,
        ending: Ending,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> bool:
        """Write until the peer goes, or until there is no more to say: then true."""
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if scope["method"] == "HEAD":
            return True
        async with asyncio.TaskGroup() as tasks:
            gone = tasks.create_task(_wait_until_gone(receive))
            delivering = tasks.create_task(_deliver(subscription, due, send))
            stopping = tasks.create_task(ending.wait())
            all_tasks = (gone, delivering, stopping)
            await asyncio.wait(all_tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in all_tasks:
                task.cancel()
        return gone.cancelled()

    def _subscribe(self, due: asyncio.Event) -> Subscription:
        hub = self._state.hub
        return Subscription(
            hub,
            self._filters,
            render=events_of_messages(hub.epoch),
            due=due,
            mode=self._query.mode,
            max_rate_hz=self._query.max_rate_hz,
            since=self._query.last_event_id,
        )


async def events(request: Request) -> EventStream:
    """`GET /api/events?filter=&…`: last values, then what comes, as Server-Sent Events."""
    header = request.headers.get("last-event-id")
    query = query_of(request, EventQuery, **({} if header is None else {"last_event_id": header}))
    filters = check_filters(query.filter)
    identity = identity_of(request.scope)
    for topic_filter in filters:
        if not identity.may_subscribe(topic_filter):
            raise RefusedError("forbidden", f"may not subscribe to {topic_filter}")
    return EventStream(request.app.state.web, filters, query)


EVENTS = Operation("GET", "/api/events", events, query=EventQuery, media_type="text/event-stream")


async def _deliver(subscription: Subscription, due: asyncio.Event, send: Send) -> None:
    await _write(send, b":\nretry: %d\n\n" % RETRY_MS)
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await due.wait()
        except TimeoutError:
            await _write(send, b":\n\n")
            continue
        due.clear()
        while (frame := subscription.pull()) is not None:
            if isinstance(frame, Gap):
                # After a reset an empty id: whoever is cut now has no place to resume from.
                place = b"id: \n" if frame.reset else b""
                frame = b"event: gap\n%bdata: %b\n\n" % (place, encode_json(frame))
            assert isinstance(frame, bytes)
            await _write(send, frame)


async def _write(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
