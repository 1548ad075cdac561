"""The messages that must arrive: those that wait, and those that the broker hasn't confirmed."""

from __future__ import annotations

from collections import deque

from broker.errors import LinkFullError
from broker.link import Message, Request


class Outbox:
    """QoS 1 and 2 messages in order, from being accepted until the broker acknowledges them.

    Bounded in messages and bytes, those in flight included; at the bound `put` refuses, since
    to drop what was accepted would break the promise that QoS 1 makes.
    """

    def __init__(self, most_messages: int, most_bytes: int) -> None:
        self._most_messages = most_messages
        self._most_bytes = most_bytes
        self._waiting: deque[Message] = deque()
        self._in_flight: dict[int, Message] = {}  # by packet identifier, in the order of sending
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._in_flight)

    @property
    def in_flight(self) -> int:
        """How many were sent and not acknowledged yet."""
        return len(self._in_flight)

    def put(self, message: Message) -> None:
        """Accept a message, or raise LinkFullError."""
        size = wire_size(message)
        if size > self._most_bytes:
            raise LinkFullError(
                f"a message of {size} bytes never fits into the outgoing queue, which holds"
                f" {self._most_bytes} bytes: send smaller ones"
            )
        if len(self) >= self._most_messages or self._bytes + size > self._most_bytes:
            raise LinkFullError(
                f"{len(self)} messages with {self._bytes} bytes wait for the broker already,"
                f" {self._most_messages} or {self._most_bytes} bytes at most: try again later"
            )
        self._waiting.append(message)
        self._bytes += size

    def first(self) -> Message | None:
        """The message to send next."""
        return self._waiting[0] if self._waiting else None

    def sent(self, packet_id: int) -> None:
        """The first message went out under a packet identifier."""
        self._in_flight[packet_id] = self._waiting.popleft()

    def drop_first(self) -> None:
        """Give up the first message: this broker can't take it."""
        self._bytes -= wire_size(self._waiting.popleft())

    def acknowledged(self, packet_id: int) -> Message | None:
        """Forget a message that the broker has; None for an identifier that isn't in flight."""
        message = self._in_flight.pop(packet_id, None)
        if message is not None:
            self._bytes -= wire_size(message)
        return message

    def connection_lost(self) -> None:
        """What was not acknowledged is to be sent again, before all that waits, in its order."""
        self._waiting.extendleft(reversed(self._in_flight.values()))
        self._in_flight.clear()


PACKET_OVERHEAD = 10
"""What PUBLISH adds to topic and payload: fixed header 5, length 2, identifier 2, properties 1."""

REQUEST_OVERHEAD = 8
"""What a request adds to the two properties that make it one: identifiers and lengths."""


def wire_size(message: Message) -> int:
    """At most this many bytes on the wire; a topic of many non-ASCII characters a few more."""
    size = len(message.topic) + len(message.payload) + PACKET_OVERHEAD
    if isinstance(message, Request):
        size += len(message.response_topic) + len(message.correlation_data) + REQUEST_OVERHEAD
    return size
