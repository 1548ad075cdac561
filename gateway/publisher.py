"""The publisher: what the readers say becomes MQTT, and is said again when the link is back."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from broker.errors import LinkError
from broker.link import Link, Message, QoS, Subscription
from gateway import __version__
from gateway.device import Device, retained_json
from gateway.handoff import DeviceMeasurement
from gateway.rivalry import Rivalry, Verdict

log = logging.getLogger(__name__)

HEALTH_EVERY_S = 10
"""How often `bridge/health` is published while nothing else changes."""

MAX_VALUES_PER_S = 5_000
"""Values of one device that are published one by one: more than a line of 115,200 baud says, less
than keeps a broker from what the other devices say."""

MAX_VALUES_OF_ALL_PER_S = 10_000
"""The same for all devices together: some of a slow machine's core stays free for browsers. Beyond
it, each device has an equal share for certain."""


def will(base_topic: str) -> Message:
    """What the broker says for us when we are gone without a word."""
    return retained_json(f"{base_topic}/bridge/state", {"state": "offline"})


def subscriptions(base_topic: str) -> tuple[Subscription, ...]:
    """What the gateway listens to: questions to it, and whether there is another one."""
    return tuple(
        Subscription(f"{base_topic}/bridge/{below}", QoS.AT_LEAST_ONCE)
        for below in ("state", "request/ping", "response/ping")
    )


class Publisher:
    """Keeps the broker's picture of all devices true. Everything here runs on the event loop.

    While the link is away nothing queues here: each device remembers its newest values, and all
    of them are published anew when the link is back. What the link can't take, and what devices
    say beyond MAX_VALUES_…, is likewise published anew, a second later: the newest values.
    """

    def __init__(
        self,
        base_topic: str,
        devices: Mapping[str, Device],
        rivalry: Rivalry,
        counts: Callable[[str], Mapping[str, object]] = lambda _device: {},
    ) -> None:
        """`counts` is what a device's reader counts, for `bridge/health`."""
        self._base = base_topic
        self._devices = devices
        self._rivalry = rivalry
        self._counts = counts
        self._link: Link | None = None
        self._may_publish = False
        self._has_left = False
        self._behind: set[str] = set()
        self._values_this_second: Counter[str] = Counter()
        self._values_of_all = 0
        self._was_loud = False
        self._described_points: dict[str, tuple[str, ...]] | None = None  # None: not said yet
        self._reasons: dict[str, str] | None = None
        self._seconds = 0

    def attach(self, link: Link) -> None:
        """Give it the link that it publishes over."""
        self._link = link

    # --- from the readers

    def measured(self, measurements: Iterable[DeviceMeasurement]) -> None:
        """Take over a burst; the points of each are published, and each device's newest state."""
        changed: dict[str, None] = {}
        for each in measurements:
            name = each.device
            changed[name] = None
            messages = self._devices[name].take(each.measurement)
            is_too_loud = self._is_too_loud(name, len(each.measurement.fields))
            if is_too_loud or (self._may_publish and not self._publish(messages)):
                self._behind.add(name)
        for name in changed.keys() - self._behind:
            state = self._devices[name].state()
            if self._may_publish and state is not None and not self._publish((state,)):
                self._behind.add(name)

    def _is_too_loud(self, name: str, values: int) -> bool:
        self._values_this_second[name] += values
        self._values_of_all += values
        is_crowded = self._values_of_all > MAX_VALUES_OF_ALL_PER_S
        share = MAX_VALUES_OF_ALL_PER_S // len(self._devices)
        bound = min(share, MAX_VALUES_PER_S) if is_crowded else MAX_VALUES_PER_S
        if self._values_this_second[name] <= bound:
            return False
        if not self._was_loud:
            self._was_loud = True
            log.warning(
                "%s says more than %d values a second: of what is beyond, the newest are"
                " published, once a second; the same goes for others, without a further word",
                name,
                bound,
            )
        return True

    def came_online(self, name: str) -> None:
        """The device can be reached."""
        self._set_availability(name, is_online=True, reason="")

    def went_offline(self, name: str, reason: str) -> None:
        """The device can't be reached, and why, as a sentence."""
        self._set_availability(name, is_online=False, reason=reason)

    def _set_availability(self, name: str, *, is_online: bool, reason: str) -> None:
        device = self._devices[name]
        device.is_online, device.reason = is_online, reason
        if self._may_publish:
            if not self._publish((device.availability(),)):
                self._behind.add(name)
            self._publish_health()

    # --- from the link

    def link_up(self) -> None:
        """Ask for rivals first: two gateways on one base would overwrite each other."""
        self._may_publish = False
        assert self._link is not None
        self._publish((self._rivalry.question(),))

    def link_down(self, _reason: str) -> None:
        self._may_publish = False

    def receive(self, messages: Sequence[Message]) -> None:
        offline = will(self._base)
        for message in messages:
            answer = self._rivalry.receive(message)
            if answer is not None:
                self._publish((answer,))
            says_offline = (message.topic, message.payload) == (offline.topic, offline.payload)
            if says_offline and self._may_publish:
                # The will of our own past: it lost its power, and only now the broker missed it.
                self._publish((self._birth(),))
        if self._rivalry.verdict is Verdict.RIVAL:
            self._may_publish = False  # all that we publish is the other's now
        self._settle()

    # --- once a second

    def tick(self) -> None:
        """Catch up with whatever could not be published, and say how we are."""
        self._rivalry.tick()
        self._values_this_second.clear()
        self._values_of_all = 0
        self._settle()
        if not self._may_publish:
            return
        for name in tuple(self._behind):
            if not self._publish(self._devices[name].retained()):
                return
            self._behind.discard(name)
        self._publish_devices_if_changed()
        self._seconds += 1
        if self._seconds % HEALTH_EVERY_S == 0:
            self._reasons = None
        self._publish_health()

    def farewell(self) -> None:
        """Say that all devices and we ourselves are offline, before an orderly end."""
        self._has_left = True  # else the echo of our `offline` would have us begin anew
        if not self._may_publish:
            return
        for device in self._devices.values():
            device.is_online = False
            self._publish((device.availability(),))
        self._publish((will(self._base),))
        self._may_publish = False

    # --- how

    def _settle(self) -> None:
        """Publish everything as soon as it is clear that we are the only gateway here."""
        if self._may_publish or self._has_left or self._rivalry.verdict is not Verdict.ALONE:
            return
        if self._link is None or not self._link.is_up:
            return
        self._may_publish = True
        self._reasons = None
        self._described_points = None
        self._behind.clear()
        self._publish(
            (
                self._birth(),
                retained_json(f"{self._base}/bridge/info", self._info()),
            )
        )
        self._publish_devices_if_changed()
        for name, device in self._devices.items():
            if not self._publish(device.retained()):
                self._behind.add(name)
        self._publish_health()

    def _publish(self, messages: Iterable[Message]) -> bool:
        """Whether the link took all of them."""
        assert self._link is not None
        try:
            for message in messages:
                self._link.publish(message)
        except LinkError as error:
            log.debug("Not published for now: %s", error)
            return False
        return True

    def _publish_devices_if_changed(self) -> None:
        points = {name: device.points for name, device in self._devices.items()}
        if points == self._described_points:
            return
        value = {
            "base": self._base,
            "devices": [device.description() for device in self._devices.values()],
        }
        if self._publish((retained_json(f"{self._base}/bridge/devices", value),)):
            self._described_points = points

    def _publish_health(self) -> None:
        """At once when a device comes, goes or fails otherwise than before; else now and then."""
        reasons = {name: device.reason for name, device in self._devices.items()}
        if reasons == self._reasons:
            return
        value = {"devices": {name: self._device_health(name) for name in self._devices}}
        if self._publish((retained_json(f"{self._base}/bridge/health", value),)):
            self._reasons = reasons

    def _device_health(self, name: str) -> dict[str, object]:
        device = self._devices[name]
        state = "online" if device.is_online else "offline"
        counts = {**self._counts(name), "dropped": device.dropped}
        return {"state": state, "reason": device.reason, **counts}

    def _birth(self) -> Message:
        return retained_json(f"{self._base}/bridge/state", {"state": "online"})

    def _info(self) -> dict[str, str]:
        return {"name": "Fieldgate", "version": __version__, "instance": self._rivalry.instance}
