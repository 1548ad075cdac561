"""A stream: one subscription as an HTTP response that goes on for as long as somebody reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from webui.ending import Ending
from webui.errors import RefusedError
from webui.http_error import refused
from webui.identity import identity_of
from webui.roster import Transport, address_of
from webui.state import WebState
from webui.subscription import Subscription
from webui.wire import Gap, Mode, Render

HEARTBEAT_S = 20.0
"""How often a quiet stream shows that it lives: proxies give up after 60 s."""


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """How a stream looks. `heartbeat` is what a quiet one says, empty for nothing."""

    transport: Transport
    media_type: str
    render: Render
    gap: Callable[[Gap], bytes]
    greeting: bytes = b""
    heartbeat: bytes = b""
    farewell: Callable[[], bytes] = bytes


@dataclass(frozen=True, slots=True)
class Wish:
    """What a stream is asked for."""

    filters: tuple[str, ...]
    mode: Mode
    max_rate_hz: float | None
    since: str | None


class MessageStream:
    """One stream, as an ASGI application; it ends when the peer goes or the server stops."""

    def __init__(self, request: Request, wish: Wish, form: StreamFormat) -> None:
        """Raises RefusedError for filters that are no filters, or not theirs to watch."""
        self._state: WebState = request.app.state.web
        self._identity = identity_of(request.scope)
        self._address = address_of(request)
        self._wish = wish
        self._form = form
        for topic_filter in wish.filters:
            if not self._identity.may_subscribe(topic_filter):
                raise RefusedError("forbidden", f"may not subscribe to {topic_filter}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        roster = self._state.roster
        try:
            entry = roster.enter(self._identity, self._address, self._form.transport)
        except RefusedError as refusal:
            await refused(refusal)(scope, receive, send)
            return
        try:
            due = asyncio.Event()
            due.set()
            try:
                subscription = self._subscribe(due)
            except RefusedError as refusal:
                await refused(refusal)(scope, receive, send)
                return
            entry.subscriptions = lambda: (subscription,)
            try:
                is_over = await self._stream(subscription, due, entry.ending, scope, receive, send)
            finally:
                subscription.close()
            if is_over:
                await send({"type": "http.response.body", "body": self._form.farewell()})
        finally:
            roster.leave(entry)

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
        headers = [
            (b"content-type", self._form.media_type.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # or nginx would keep back what it could collect
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "HEAD":
            return True
        async with asyncio.TaskGroup() as tasks:
            gone = tasks.create_task(_wait_until_gone(receive))
            delivering = tasks.create_task(self._deliver(subscription, due, send))
            stopping = tasks.create_task(ending.wait())
            all_tasks = (gone, delivering, stopping)
            await asyncio.wait(all_tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in all_tasks:
                task.cancel()
        return gone.cancelled()

    async def _deliver(self, subscription: Subscription, due: asyncio.Event, send: Send) -> None:
        form = self._form
        await _write(send, form.greeting)
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await due.wait()
            except TimeoutError:
                await _write(send, form.heartbeat)
                continue
            due.clear()
            while (frame := subscription.pull()) is not None:
                if isinstance(frame, Gap):
                    frame = form.gap(frame)
                await _write(send, frame)

    def _subscribe(self, due: asyncio.Event) -> Subscription:
        return Subscription(
            self._state.hub,
            self._wish.filters,
            render=self._form.render,
            on_due=lambda _subscription: due.set(),
            mode=self._wish.mode,
            max_rate_hz=self._wish.max_rate_hz,
            since=self._wish.since,
        )


async def _write(send: Send, body: bytes) -> None:
    if body:
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
