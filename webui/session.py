"""A session: one browser's conversation, over any transport that carries text frames."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from webui.errors import RefusedError
from webui.hub import Hub
from webui.identity import Identity
from webui.publishing import PublishAs
from webui.subscription import Subscription
from webui.wire import (
    MAX_SUBSCRIPTIONS,
    ClientFrame,
    ErrorFrame,
    Gap,
    Ping,
    Pong,
    Publish,
    Published,
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

Send = Callable[[str], Awaitable[None]]
"""Sends one text frame; waits while the peer doesn't read."""


class Session:
    """What a browser asks is answered in order; what it watches is delivered beside that.

    `answer` and `deliver` run in a task each. Both wait in `send` while the peer doesn't read,
    so a frozen browser holds one frame and its cursors, and nothing more.
    """

    def __init__(self, hub: Hub, identity: Identity, publish: PublishAs, send: Send) -> None:
        self._hub = hub
        self._identity = identity
        self._publish = publish
        self._send = send
        self._due = asyncio.Event()
        # A transport may let a later frame overtake one that waits; a lock serves in order.
        self._sending = asyncio.Lock()
        self._subscriptions: dict[int, Subscription] = {}

    async def answer(self, text: str) -> None:
        """Do what one frame asks for; what can't be done gets an error frame."""
        try:
            await self._answer(decode_frame(text))
        except RefusedError as refusal:
            await self.refuse(refusal)

    async def refuse(self, refusal: RefusedError) -> None:
        """Send a refusal as an error frame."""
        await self._reply(ErrorFrame(refusal.frame_id, refusal.code, refusal.message))

    async def deliver(self) -> None:
        """Send what is due, for ever."""
        while True:
            await self._due.wait()
            self._due.clear()
            while await self._deliver_round():
                pass

    async def _deliver_round(self) -> bool:
        """Send one frame of each subscription, so that a loud one doesn't silence the others."""
        is_any = False
        # A copy, because a frame that is answered meanwhile may change the subscriptions.
        for subscription in self.subscriptions():
            async with self._sending:
                frame = subscription.pull()
                if frame is None:
                    continue
                is_any = True
                text = encode_frame(frame) if isinstance(frame, Gap) else frame
                assert isinstance(text, str)
                await self._send(text)
        return is_any

    def subscriptions(self) -> tuple[Subscription, ...]:
        """What it watches now."""
        return tuple(self._subscriptions.values())

    def close(self) -> None:
        """Let go of everything that this session watches."""
        for subscription in self._subscriptions.values():
            subscription.close()
        self._subscriptions.clear()

    async def _answer(self, frame: ClientFrame) -> None:
        match frame:
            case Subscribe():
                await self._subscribe(frame)
            case Unsubscribe(id=frame_id):
                subscription = self._subscriptions.pop(frame_id, None)
                if subscription is not None:
                    subscription.close()
                await self._reply(Unsubscribed(frame_id))
            case Publish(id=frame_id):
                self._publish(self._identity, frame, frame_id)
                await self._reply(Published(frame_id))
            case Ping(id=frame_id):
                await self._reply(Pong(frame_id))

    async def _subscribe(self, frame: Subscribe) -> None:
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
            render=frame_of_messages(frame.id),
            due=self._due,
            frame_id=frame.id,
            mode=frame.mode,
            max_rate_hz=frame.max_rate_hz,
            since=frame.since,
        )
        replaced = self._subscriptions.pop(frame.id, None)
        if replaced is not None:
            replaced.close()
        welcome = subscription.welcome
        try:
            await self._reply(
                Subscribed(
                    frame.id, self._hub.epoch, welcome.seq, welcome.recovered, welcome.truncated
                )
            )
        except BaseException:
            subscription.close()
            raise
        self._subscriptions[frame.id] = subscription
        self._due.set()

    async def _reply(self, frame: ServerFrame) -> None:
        async with self._sending:
            await self._send(encode_frame(frame))
