"""The commands under way: a receipt for each step, and what confirms them. Pure.

What is asked for is accepted or refused at once; what is accepted is written in its order, and
done when the hardware says the wished value back. Whoever asked hears of each step on
`<base>/<device>/result`, and on the response topic of the request, where it names one.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from broker.errors import TopicError
from broker.link import Message, QoS, Request
from broker.topics import check_name
from gateway.commands.wish import RefusedError, Wish, judged, requested
from gateway.device import iso_time, json_bytes
from gateway.measurement import Value
from gateway.points.config import PointConfig
from gateway.readers import Clock, Content

MAX_WAITING = 32
"""Commands of one device under way; one more is refused."""

REMEMBERED = 256
"""Transactions that are recognised when they come twice."""


class Commanded(Protocol):
    """What is to be known of a device."""

    @property
    def is_online(self) -> bool: ...

    @property
    def reason(self) -> str: ...

    def newest(self, point: str) -> tuple[Value, int]:
        """What the hardware said last, and when that was read, in ms since 1970; 0 for never."""


@dataclass(frozen=True, slots=True)
class Writable:
    """A device as its config has it."""

    device: Commanded
    points: Mapping[str, PointConfig]
    timeout_s: float
    line: str
    """What it shares with other devices, or its own name: commands of one line keep their order."""


@dataclass(slots=True, eq=False)
class Order:
    """One command that was accepted."""

    device: str
    line: str
    point: str
    value: Value
    content: Content
    """What the reader is to write."""

    transaction: str
    reply_to: Request | None
    deadline_s: float
    decimals: int | None
    is_confirmed: bool
    begun_ms: int = field(default=0)
    """When its writing began, set by the thread that writes; 0 before."""

    is_written: bool = field(default=False)
    is_over: bool = field(default=False)


class Desk:
    """Takes requests, hands orders out, writes receipts.

    Bounds: MAX_WAITING orders a device, each with a deadline; REMEMBERED transactions.
    """

    def __init__(
        self,
        base_topic: str,
        devices: Mapping[str, Writable],
        *,
        publish: Callable[[Message], object],
        carry_out: Callable[[Order], None],
        clock: Clock,
    ) -> None:
        self._base = base_topic
        self._devices = devices
        self._publish = publish
        self._carry_out = carry_out
        self._clock = clock
        self._orders: dict[str, list[Order]] = {}
        self._known: dict[tuple[str, str, str], object] = {}
        self._is_closed = False

    @property
    def due_s(self) -> float:
        """When to call `release` next; infinite while nothing is under way."""
        return min((order.deadline_s for order in self._under_way()), default=math.inf)

    def receive(self, message: Message, now_s: float) -> bool:
        """Take a message if it is a command; what comes of it is published."""
        levels = message.topic.removeprefix(f"{self._base}/").split("/")
        if len(levels) not in (2, 3) or levels[1] != "set" or levels[0] not in self._devices:
            return False
        device, point = levels[0], (levels[2] if len(levels) == 3 else None)
        receipt = _Receipt(device, _reply_to(message, self._base))
        try:
            if message.retain:
                raise RefusedError("a retained command is ignored: publish it without retain")
            request = requested(point, message.payload)
        except RefusedError as error:
            self._say(receipt, "", point or "", "refused", error=str(error))
            return True
        transaction = request.transaction or secrets.token_hex(4)
        for wish in request.wishes:
            self._take(receipt, transaction, wish, now_s)
        return True

    def written(self, order: Order, why_not: str, now_s: float) -> None:
        """An order has been carried out, or not and why."""
        if order.is_over:
            return
        if why_not:
            self._end(order, "refused", error=why_not)
            return
        order.is_written = True
        order.deadline_s = now_s + self._devices[order.device].timeout_s
        self._report(order, "written")
        if not order.is_confirmed:
            self._end(order, None)
        else:
            self.measured(order.device)

    def measured(self, device: str) -> None:
        """The hardware said something: perhaps what somebody waits for."""
        for order in tuple(self._orders.get(device, ())):
            value, time_ms = self._devices[device].device.newest(order.point)
            if order.is_written and time_ms >= order.begun_ms and _is_fulfilled(order, value):
                self._end(order, "confirmed")

    def release(self, now_s: float) -> None:
        """Give up what has taken too long."""
        for order in tuple(self._under_way()):
            if order.deadline_s > now_s:
                continue
            if order.is_written:
                value, _ = self._devices[order.device].device.newest(order.point)
                why = f"the hardware has not said it back; it says {json_bytes(value).decode()}"
            else:
                why = "it could not be written in time"
            self._end(order, "timeout", error=why)

    def close(self) -> None:
        """The gateway stops: say so of all that is under way, and take nothing more."""
        self._is_closed = True
        for order in tuple(self._under_way()):
            if order.begun_ms:
                self._end(order, "timeout", "the gateway stopped before the hardware said it back")
            else:
                self._end(order, "refused", "the gateway stopped before it was written")

    def _take(self, receipt: _Receipt, transaction: str, wish: Wish, now_s: float) -> None:
        name = receipt.device
        try:
            if self._has_come_before(name, wish, transaction):
                return
            order = self._order(receipt, transaction, wish, now_s)
        except RefusedError as error:
            self._say(receipt, transaction, wish.point, "refused", wish.value, str(error))
            return
        self._orders.setdefault(name, []).append(order)
        self._report(order, "accepted")
        self._carry_out(order)

    def _has_come_before(self, device: str, wish: Wish, transaction: str) -> bool:
        """Whether the network brought it twice, as QoS 1 may; raises RefusedError for a new wish
        with an old transaction, which would look the same."""
        known = (device, wish.point, transaction)
        if known not in self._known:
            self._known[known] = wish.value
            if len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
            return False
        is_under_way = any(
            (order.point, order.transaction) == (wish.point, transaction)
            for order in self._orders.get(device, ())
        )
        if is_under_way and self._known[known] == wish.value:
            return True
        raise RefusedError(
            f"the transaction {transaction} was used before: each command needs its own, or none"
        )

    def _order(self, receipt: _Receipt, transaction: str, wish: Wish, now_s: float) -> Order:
        name = receipt.device
        writable = self._devices[name]
        config = writable.points.get(wish.point)
        value, content = judged(config, wish)
        assert config is not None
        if self._is_closed:
            raise RefusedError("the gateway is stopping")
        if not writable.device.is_online:
            raise RefusedError(f"{name} is offline: {writable.device.reason}")
        if len(self._orders.get(name, ())) >= MAX_WAITING:
            raise RefusedError(f"{MAX_WAITING} commands to {name} are under way already")
        before = sum(order.line == writable.line for order in self._under_way())
        return Order(
            name,
            writable.line,
            wish.point,
            value,
            content,
            transaction,
            receipt.reply_to,
            now_s + writable.timeout_s * (1 + before),
            config.decimals,
            config.is_confirmed,
        )

    def _under_way(self) -> Iterator[Order]:
        return (order for orders in self._orders.values() for order in orders)

    def _end(self, order: Order, stage: str | None, error: str = "") -> None:
        order.is_over = True
        self._orders[order.device].remove(order)
        if stage is not None:
            self._report(order, stage, error)

    def _report(self, order: Order, stage: str, error: str = "") -> None:
        receipt = _Receipt(order.device, order.reply_to)
        self._say(receipt, order.transaction, order.point, stage, order.value, error)

    def _say(
        self,
        receipt: _Receipt,
        transaction: str,
        point: str,
        stage: str,
        value: object = None,
        error: str = "",
    ) -> None:
        content = json_bytes(
            {
                "transaction": transaction,
                "point": point,
                "stage": stage,
                "value": value,
                **({"error": error} if error else {}),
                "time": iso_time(self._clock()),
            }
        )
        topic = f"{self._base}/{receipt.device}/result"
        self._publish(Message(topic, content, QoS.AT_LEAST_ONCE))
        if receipt.reply_to is not None:
            reply_to = receipt.reply_to
            self._publish(
                Request(
                    reply_to.response_topic,
                    content,
                    QoS.AT_LEAST_ONCE,
                    correlation_data=reply_to.correlation_data,
                )
            )


@dataclass(frozen=True, slots=True)
class _Receipt:
    """Where the receipts of one request go."""

    device: str
    reply_to: Request | None


def _reply_to(message: Message, base_topic: str) -> Request | None:
    """Who asked, where that may be answered.

    We may publish everywhere, whoever asked perhaps not: under our own topics, and where a broker
    or Home Assistant has its own, nobody gets us to publish.
    """
    if not isinstance(message, Request) or not message.response_topic:
        return None
    try:
        check_name(message.response_topic)
    except TopicError:
        return None
    first = message.response_topic.partition("/")[0]
    is_ours = message.response_topic.startswith(f"{base_topic}/")
    return None if is_ours or first.startswith("$") or first == "homeassistant" else message


def _is_fulfilled(order: Order, value: Value) -> bool:
    wish = order.value
    if isinstance(wish, bool) or isinstance(value, bool):
        return wish is value
    if isinstance(wish, int | float) and isinstance(value, int | float):
        if order.decimals is not None:
            return round(wish, order.decimals) == round(value, order.decimals)
        try:
            return math.isclose(wish, value, rel_tol=1e-6, abs_tol=1e-9)
        except OverflowError:  # a whole number of hundreds of digits, which no wish is
            return False
    return wish == value
