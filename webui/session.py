"""A session: one browser's conversation over a WebSocket."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Protocol

from webui.errors import RefusedError
from webui.hub import Hub
from webui.identity import Identity
from webui.publishing import PublishAs
from webui.subscription import Subscription
from webui.text_frame import text_frame
from webui.wire import (
    MAX_SUBSCRIPTIONS,
    ClientFrame,
    ErrorFrame,
    Gap,
    Ping,
    Pong,
    Publish,
    Published,
    Render,
    ServerFrame,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    check_filters,
    decode_frame,
    encode_frame,
    frame_of_messages,
)


class Outlet(Protocol):
    """A WebSocket's way out."""

    on_ready: Callable[[], None]
    """Called when it is ready again."""

    @property
    def is_ready(self) -> bool:
        """Whether the peer keeps up with reading; false for good once the WebSocket closes."""
        ...

    async def ready(self) -> None:
        """Wait until it is ready; raises ConnectionError when it never will be."""
        ...

    def write(self, frame: bytes) -> None:
        """Send a frame, as `text_frame` makes it; call it only while it is ready."""
        ...


class Session:
    """What a browser asks is answered in order; what it watches is delivered beside that.

    Delivering takes no task and no queue: a subscription that is due is pulled and written at
    once, or where the peer doesn't read, when it reads again. So a frozen browser holds what its
    connection has buffered and its cursors, and nothing more.
    """

    def __init__(self, hub: Hub, identity: Identity, publish: PublishAs, outlet: Outlet) -> None:
        self._hub = hub
        self._identity = identity
        self._publish = publish
        self._outlet = outlet
        outlet.on_ready = self._go_on
        self._loop = asyncio.get_running_loop()
        self._subscriptions: dict[int, Subscription] = {}
        self._is_closed = False

    async def answer(self, text: str) -> None:
        """Do what one frame asks for; what can't be done gets an error frame.

        Waits while the peer doesn't read, so that nobody piles up answers. Raises
        ConnectionError when the WebSocket closes.
        """
        await self._outlet.ready()
        if self._is_closed:
            return
        try:
            self._answer(decode_frame(text))
        except RefusedError as refusal:
            self._refuse(refusal)

    async def refuse(self, refusal: RefusedError) -> None:
        """Send a refusal as an error frame; the same holds."""
        await self._outlet.ready()
        if not self._is_closed:
            self._refuse(refusal)

    def _deliver(self, subscription: Subscription) -> None:
        """Send one frame; more in the next turn of the loop, or one could keep it from others."""
        if not self._outlet.is_ready:
            return
        frame = subscription.pull()
        if frame is not None:
            self._outlet.write(text_frame(encode_frame(frame)) if isinstance(frame, Gap) else frame)
            if subscription.is_due:
                self._loop.call_soon(self._deliver, subscription)

    def _go_on(self) -> None:
        """The peer reads again."""
        for subscription in self.subscriptions():
            self._deliver(subscription)

    def subscriptions(self) -> tuple[Subscription, ...]:
        """What it watches now."""
        return tuple(self._subscriptions.values())

    def close(self) -> None:
        """Let go of everything that this session watches, and do nothing any more.

        A peer that doesn't read holds up our close, and may have sent much by then.
        """
        self._is_closed = True
        for subscription in self._subscriptions.values():
            subscription.close()
        self._subscriptions.clear()

    def _answer(self, frame: ClientFrame) -> None:
        match frame:
            case Subscribe():
                self._subscribe(frame)
            case Unsubscribe(id=frame_id):
                subscription = self._subscriptions.pop(frame_id, None)
                if subscription is not None:
                    subscription.close()
                self._reply(Unsubscribed(frame_id))
            case Publish(id=frame_id):
                self._publish(self._identity, frame, frame_id)
                self._reply(Published(frame_id))
            case Ping(id=frame_id):
                self._reply(Pong(frame_id))

    def _subscribe(self, frame: Subscribe) -> None:
        filters = check_filters(frame.filters, frame.id)
        for topic_filter in filters:
            if not self._identity.may_subscribe(topic_filter):
                raise RefusedError("forbidden", f"may not subscribe to {topic_filter}", frame.id)
        if frame.id not in self._subscriptions and (len(self._subscriptions) >= MAX_SUBSCRIPTIONS):
            raise RefusedError(
                "too_many",
                f"{MAX_SUBSCRIPTIONS} subscriptions in one session at most:"
                " unsubscribe one, or put its filters into another",
                frame.id,
            )
        subscription = Subscription(
            self._hub,
            filters,
            render=_framed_messages(frame.id),
            on_due=self._deliver,
            frame_id=frame.id,
            mode=frame.mode,
            max_rate_hz=frame.max_rate_hz,
            since=frame.since,
        )
        replaced = self._subscriptions.pop(frame.id, None)
        if replaced is not None:
            replaced.close()
        welcome = subscription.welcome
        self._reply(
            Subscribed(frame.id, self._hub.epoch, welcome.seq, welcome.recovered, welcome.truncated)
        )
        self._subscriptions[frame.id] = subscription
        self._loop.call_soon(self._deliver, subscription)

    def _refuse(self, refusal: RefusedError) -> None:
        self._reply(ErrorFrame(refusal.frame_id, refusal.code, refusal.message))

    def _reply(self, frame: ServerFrame) -> None:
        self._outlet.write(text_frame(encode_frame(frame)))


@functools.lru_cache(maxsize=1024)
def _framed_messages(frame_id: int) -> Render:
    """Makes whole WebSocket frames, so that sessions share their very bytes."""
    render = frame_of_messages(frame_id)
    return lambda entries, is_last: text_frame(render(entries, is_last))
