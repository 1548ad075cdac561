"""What the readers' link brings, given to whom it concerns. Runs on the event loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from broker.link import Message, QoS, Subscription
from gateway.device import json_bytes
from gateway.home_assistant.announcer import Announcer
from gateway.leftovers import Leftovers
from gateway.publisher import Publisher, subscriptions

MAX_REQUEST_BYTES = 16_384


class Listening:
    """Home Assistant's topics to the announcer, the list of devices of the run before to what
    clears its leftovers, and all the rest to the publisher."""

    def __init__(
        self,
        base_topic: str,
        publisher: Publisher,
        leftovers: Leftovers,
        announcer: Announcer | None,
        now_s: Callable[[], float],
    ) -> None:
        """`announcer` is None where nobody is to be told."""
        self._base = base_topic
        self._publisher = publisher
        self._leftovers = leftovers
        self._announcer = announcer
        self._now_s = now_s
        self._devices: Sequence[Mapping[str, object]] = ()

    def subscriptions(self) -> tuple[Subscription, ...]:
        """All that it hears."""
        heard = (*subscriptions(self._base), *self._leftovers.subscriptions())
        if self._announcer is None:
            return heard
        request = Subscription(f"{self._base}/bridge/request/announce", QoS.AT_LEAST_ONCE)
        return (*heard, request, *self._announcer.subscriptions())

    def link_up(self) -> None:
        self._leftovers.begin()
        if self._announcer is not None:
            self._announcer.begin()
        self._publisher.link_up()

    def link_down(self, reason: str) -> None:
        self._publisher.link_down(reason)

    def receive(self, messages: Sequence[Message]) -> None:
        self._publisher.receive([one for one in messages if not self._take(one)])

    def described(self, devices: Sequence[Mapping[str, object]]) -> None:
        """The list of devices has been published: it is clear now that we are the gateway here."""
        self._devices = devices
        for message in self._leftovers.clearing():
            self._publisher.publish(message)
        if self._announcer is not None:
            self._announcer.update(devices, self._now_s())

    def _take(self, message: Message) -> bool:
        if self._leftovers.receive(message):
            return True
        if self._announcer is None:
            return False
        if message.topic == f"{self._base}/bridge/request/announce":
            self._announce(self._announcer, message)
            return True
        return self._announcer.receive(message, self._now_s())

    def _announce(self, announcer: Announcer, message: Message) -> None:
        """Somebody says yes to a new device (`announce: ask`), or asks which there are."""
        if message.retain:
            return  # an old yes
        answer: dict[str, object] = {}
        try:
            request = _request(message.payload)
            if "transaction" in request:
                answer["transaction"] = request["transaction"]
            if (name := request.get("device")) is not None:
                announcer.approve(self._identity(name))
                announcer.update(self._devices, self._now_s())
            answer |= {"status": "ok", "waiting": list(self._waiting(announcer))}
        except ValueError as error:
            answer |= {"status": "error", "error": str(error)}
        topic = f"{self._base}/bridge/response/announce"
        self._publisher.publish(Message(topic, json_bytes(answer), QoS.AT_LEAST_ONCE))

    def _identity(self, name: object) -> str:
        for device in self._devices:
            if name in (device["name"], device["id"]):
                return str(device["id"])
        raise ValueError(f"there is no device {name}")

    def _waiting(self, announcer: Announcer) -> Iterator[str]:
        for device in self._devices:
            if announcer.waiting([device]):
                yield str(device["name"])


def _request(payload: bytes) -> dict[str, object]:
    if len(payload) > MAX_REQUEST_BYTES:
        raise ValueError(f"the request is longer than {MAX_REQUEST_BYTES} bytes")
    try:
        request = json.loads(payload or b"{}")
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise ValueError('the request is no JSON object, as in {"device":"boiler"}')
    return request
