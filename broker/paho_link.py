"""The link over paho-mqtt: one connection after the other, for ever, and what outlives them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import lru_cache

from paho.mqtt.enums import MQTTProtocolVersion

from broker.backoff import Backoff
from broker.errors import LinkAwayError, LinkError, LinkFullError
from broker.link import (
    QUEUE_BYTES,
    QUEUE_MESSAGES,
    Endpoint,
    Link,
    LinkEvents,
    Message,
    QoS,
    Subscription,
)
from broker.link_socket import LinkSocket, open_socket
from broker.outbox import Outbox, wire_size
from broker.paho_connection import Ending, Limits, Login, PahoConnection
from broker.topics import check_filter, check_name

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 15
"""A frozen broker is noticed after this, twice at most; a ping costs four bytes."""

IN_FLIGHT = 100
"""Unacknowledged messages at once: 2,000 a second over a line of 50 ms, and no more than this
may arrive twice after an outage. A broker's Receive Maximum makes it fewer."""

LINGER_S = 2.0
"""How long leaving waits for what the broker hasn't acknowledged."""

MOST_REASONS = 8
"""Of an outage, so many different reasons are logged; two that alternate don't fill the log."""

_check_name = lru_cache(maxsize=10_000)(check_name)
"""Remembers good names; the bound is a large plant's number of topics."""


class PahoLink:
    """See `broker.link.Link`. QoS 1 and 2 are at least once over an outage, since each
    connection begins a new MQTT session."""

    def __init__(
        self,
        endpoint: Endpoint,
        events: LinkEvents,
        *,
        role: str,
        subscriptions: Sequence[Subscription],
        will: Message | None = None,
        keep_alive_s: int = KEEP_ALIVE_S,
    ) -> None:
        """Raises TopicError for a subscription or will that no broker would take."""
        for subscription in subscriptions:
            check_filter(subscription.topic_filter)
        if will is not None:
            check_name(will.topic)
        self.client_id = f"fieldgate-{role}-{secrets.token_hex(4)}"
        self._endpoint = endpoint
        self._events = events
        self._role = role
        self._subscriptions = tuple(subscriptions)
        self._will = will
        self._keep_alive_s = keep_alive_s
        self._outbox = Outbox(QUEUE_MESSAGES, QUEUE_BYTES)
        self._connection: PahoConnection | None = None
        self._limits = Limits()
        self._versions = VersionChoice(endpoint.version)
        self._reason = f"{endpoint.url} is not connected yet"
        self._outage_reasons: set[str] = set()
        self._complaints: set[str] = set()
        self._idle = asyncio.Event()

    @property
    def is_up(self) -> bool:
        return self._connection is not None and self._connection.is_up

    @property
    def reason(self) -> str:
        return "" if self.is_up else self._reason

    @property
    def waiting(self) -> int:
        return len(self._outbox)

    def publish(self, message: Message) -> None:
        """See `broker.link.Link`."""
        _check_name(message.topic)
        connection = self._connection if self.is_up else None
        size = wire_size(message)
        if connection and self._limits.packet_bytes and size > self._limits.packet_bytes:
            raise LinkFullError(
                f"{self._endpoint.url} takes no message of {size} bytes,"
                f" {self._limits.packet_bytes} at most"
            )
        if message.qos is not QoS.AT_MOST_ONCE:
            self._outbox.put(message)
            self._send_waiting()
        elif connection is None:
            raise LinkAwayError(f"{self._reason}; a message of QoS 0 doesn't wait")
        elif connection.unsent + size > QUEUE_BYTES:
            raise LinkFullError(
                f"{self._endpoint.url} has {connection.unsent} bytes still to read,"
                f" {QUEUE_BYTES} at most: it is too slow, or frozen"
            )
        else:
            connection.publish(self._bearable(message))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Link]:
        """Connect, and stay connected, until the block is left."""
        work = asyncio.create_task(self._stay_connected(), name=f"link {self._role}")
        work.add_done_callback(_show_fault)
        try:
            yield self
        finally:
            try:
                await self._linger()
            finally:
                work.cancel()
                await asyncio.wait([work])
            if self._outbox:
                log.warning(
                    "link %s: left with %d messages that the broker has not acknowledged",
                    self._role,
                    len(self._outbox),
                )

    # what a connection tells us

    def accepted(self, limits: Limits) -> None:
        """The broker took us in: subscribe first, then all the rest in its order."""
        connection = self._connection
        assert connection is not None
        self._limits = limits
        self._reason = f"{self._endpoint.url} has just gone away"
        if self._subscriptions:
            connection.subscribe(self._subscriptions)
        log.info("link %s: connected to %s", self._role, self._endpoint.url)
        self._outage_reasons.clear()
        self._send_waiting()
        self._events.link_up()

    def received(self, messages: Sequence[Message]) -> None:
        """One burst."""
        if log.isEnabledFor(logging.DEBUG):
            for message in messages:
                log.debug("link %s: %s %.80r", self._role, message.topic, message.payload)
        self._events.receive(messages)

    def acknowledged(self, packet_id: int, failure: str) -> None:
        """The broker has a message. One that it refuses it would refuse again: it is dropped."""
        message = self._outbox.acknowledged(packet_id)
        if failure and message is not None:
            self._complain(
                f"{self._endpoint.url} refuses a message to {message.topic}: {failure};"
                " allow it in the broker's access rules",
                about=failure,
            )

    def subscribed(self, failures: Sequence[str]) -> None:
        """The broker answered SUBSCRIBE."""
        for subscription, failure in zip(self._subscriptions, failures, strict=False):
            if failure:
                self._complain(
                    f"{self._endpoint.url} refuses the subscription to"
                    f" {subscription.topic_filter}: {failure}; allow it in the broker's"
                    f" access rules for user {self._endpoint.username or '(anonymous)'}",
                    about=subscription.topic_filter,
                )

    def progressed(self) -> None:
        """There may be room for more."""
        self._send_waiting()
        if not self._outbox and (self._connection is None or not self._connection.unsent):
            self._idle.set()

    def _send_waiting(self) -> None:
        room = min(IN_FLIGHT, self._limits.receive_maximum)
        connection = self._connection
        while (
            connection is not None
            and connection.is_up
            and self._outbox.in_flight < room
            and (message := self._outbox.first()) is not None
        ):
            size, most = wire_size(message), self._limits.packet_bytes
            if most is not None and size > most:  # accepted before we knew
                self._outbox.drop_first()
                self._complain(
                    f"{self._endpoint.url} takes no message of {size} bytes, {most} at most:"
                    f" one to {message.topic} is lost",
                    about="packet size",
                )
                continue
            bearable = self._bearable(message)
            if bearable.qos is QoS.AT_MOST_ONCE:
                self._outbox.drop_first()
                connection.publish(bearable)
            else:
                self._outbox.sent(connection.publish(bearable))

    def _bearable(self, message: Message) -> Message:
        """The message as this broker takes it: it would close the connection otherwise."""
        if message.qos <= self._limits.qos and (self._limits.retain or not message.retain):
            return message
        return replace(
            message,
            qos=min(message.qos, self._limits.qos),
            retain=message.retain and self._limits.retain,
        )

    def _complain(self, sentence: str, about: str) -> None:
        if about not in self._complaints and len(self._complaints) < 1000:
            self._complaints.add(about)
            log.warning("link %s: %s", self._role, sentence)

    # the work

    async def _stay_connected(self) -> None:
        backoff = Backoff()
        while True:
            ending = await self._connect_once()
            if self._versions.ended(ending):
                continue
            backoff.lasted(ending.seconds)
            self._went_down(ending.reason)
            await asyncio.sleep(backoff.next_s())

    async def _connect_once(self) -> Ending:
        try:
            opened = await _in_thread(self._endpoint)
        except LinkError as error:
            return Ending(str(error))
        connection = PahoConnection(
            opened,
            Login(
                self._endpoint,
                self.client_id,
                self._will,
                self._keep_alive_s,
                self._versions.current,
            ),
            self,
        )
        self._connection = connection
        try:
            connection.start()
            return await asyncio.shield(connection.ended)
        except asyncio.CancelledError:
            await connection.leave()
            raise
        finally:
            connection.close()
            self._outbox.connection_lost()

    def _went_down(self, reason: str) -> None:
        self._reason = reason
        is_first = not self._outage_reasons
        if reason not in self._outage_reasons and len(self._outage_reasons) < MOST_REASONS:
            self._outage_reasons.add(reason)
            log.warning("link %s: %s; trying again until it is back", self._role, reason)
        if is_first:
            # by the loop, so that a fault of theirs is shown and doesn't end our work
            asyncio.get_running_loop().call_soon(self._events.link_down, reason)

    async def _linger(self) -> None:
        self._idle.clear()
        self.progressed()
        if self._outbox or self.is_up:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    await self._idle.wait()


class VersionChoice:
    """Which MQTT version to try: 5 first where we may choose, and 3.1.1 where 5 is refused.

    What worked is kept until a connect fails, since the broker may come back upgraded.
    """

    def __init__(self, wish: str) -> None:
        """`wish` is "auto", "5" or "3.1.1"."""
        self._is_free = wish == "auto"
        self.current = (
            MQTTProtocolVersion.MQTTv311 if wish == "3.1.1" else MQTTProtocolVersion.MQTTv5
        )

    def ended(self, ending: Ending) -> bool:
        """Note how a connection ended; whether to try another version at once."""
        if not self._is_free or ending.was_accepted:
            return False
        if self.current == MQTTProtocolVersion.MQTTv5 and ending.other_version:
            self.current = MQTTProtocolVersion.MQTTv311
            return True
        self.current = MQTTProtocolVersion.MQTTv5
        return False


async def _in_thread(endpoint: Endpoint) -> LinkSocket:
    """Open a connection: the one place where the link meets a thread.

    A daemon thread and no executor's, for whose end the program would wait: the system may look
    for a name for a minute. Cancelled meanwhile, it runs to its end, and what it opened is closed.
    """
    opening: Future[LinkSocket] = Future()
    opening.set_running_or_notify_cancel()  # from now on it can be left, not cancelled

    def work() -> None:
        try:
            opening.set_result(open_socket(endpoint))
        except LinkError as error:
            opening.set_exception(error)
        finally:
            if not opening.done():  # a fault of ours, which Python shows with its traceback
                opening.set_exception(RuntimeError("the thread that opens a link ended by a fault"))

    threading.Thread(target=work, name=f"open {endpoint.url}", daemon=True).start()
    try:
        return await asyncio.wrap_future(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_opened)
        raise


def _close_opened(opening: Future[LinkSocket]) -> None:
    if opening.exception() is None:
        opening.result().really_close()


def _show_fault(work: asyncio.Task[None]) -> None:
    """A fault of ours ends the link: say so at once, not when it is left."""
    if not work.cancelled() and (error := work.exception()) is not None:
        work.get_loop().call_exception_handler(
            {"message": f"{work.get_name()} ended by a fault", "exception": error, "task": work}
        )
