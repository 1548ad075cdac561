"""The publisher: what the readers say becomes MQTT, and is said again when the link is back."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from broker.errors import LinkError
from broker.link import Link, Message, QoS, Subscription
from gateway import __version__
from gateway.device import Device, Said, retained_json
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

MAX_EVENTS_PER_S = 100
"""Events of one device: nobody presses buttons quicker. What is beyond is lost, and counted."""

COMMANDS = ("+/set", "+/set/+", "+/get")
"""Where, below the base topic, somebody wants something of a device."""


def will(base_topic: str) -> Message:
    """What the broker says for us when we are gone without a word."""
    return retained_json(f"{base_topic}/bridge/state", {"state": "offline"})


def subscriptions(base_topic: str) -> tuple[Subscription, ...]:
    """What the gateway listens to: questions, commands, and whether there is another one."""
    return tuple(
        Subscription(f"{base_topic}/{below}", QoS.AT_LEAST_ONCE)
        for below in ("bridge/state", "bridge/request/ping", "bridge/response/ping", *COMMANDS)
    )


class Publisher:
    """Keeps the broker's picture of all devices true. Everything here runs on the event loop.

    While the link is away nothing queues here: each device remembers its newest values, and all
    of them are published anew when the link is back. What the link can't take, and what devices
    say beyond MAX_VALUES_…, is likewise published anew, a second later: the newest values. An
    event that can't be published when it comes is lost: an old press of a button helps nobody.
    `now_s` is everywhere the same monotonic clock, in seconds.
    """

    def __init__(
        self,
        base_topic: str,
        devices: Mapping[str, Device],
        rivalry: Rivalry,
        counts: Callable[[str], Mapping[str, object]] = lambda _device: {},
        besides: Callable[[], Mapping[str, object]] = dict,
        *,
        command: Callable[[Message], object] = lambda _message: None,
        heard: Callable[[str], None] = lambda _device: None,
        described: Callable[[Sequence[Mapping[str, object]]], None] = lambda _devices: None,
    ) -> None:
        """For `bridge/health`: what a device's reader `counts`, and what to say `besides`.

        `command` gets what others want of devices, and `heard` is called with the name of each
        device that said something, once for each measurement. `described` gets the list of all
        devices when it has been published.
        """
        self._base = base_topic
        self._devices = devices
        self._rivalry = rivalry
        self._counts = counts
        self._besides = besides
        self._command = command
        self._heard = heard
        self._tell_described = described
        self._link: Link | None = None
        self._may_publish = False
        self._has_left = False
        self._behind: set[str] = set()
        self._asked: set[str] = set()
        self._due_s: dict[str, float] = {}
        self._values_this_second: Counter[str] = Counter()
        self._events_this_second: Counter[str] = Counter()
        self._lost_events: Counter[str] = Counter()
        self._values_of_all = 0
        self._was_loud = False
        self._described: dict[str, int] | None = None  # None: not said yet
        self._reasons: dict[str, str] | None = None
        self._seconds = 0

    def attach(self, link: Link) -> None:
        """Give it the link that it publishes over."""
        self._link = link

    # --- from the readers

    @property
    def due_s(self) -> float:
        """When to call `release` next; infinite while nothing waits."""
        return min(self._due_s.values(), default=math.inf)

    def measured(self, measurements: Iterable[DeviceMeasurement], now_s: float) -> None:
        """Take over a burst; the points of each are published, and each device's newest state."""
        changed: dict[str, None] = {}
        for each in measurements:
            name = each.device
            changed[name] = None
            self._publish_said(name, self._devices[name].take(each.measurement, now_s))
            self._heard(name)
        for name in changed:
            self._publish_state(name, now_s)

    def release(self, now_s: float) -> None:
        """Publish what waited until now."""
        for name in [name for name, due_s in self._due_s.items() if due_s <= now_s]:
            self._publish_said(name, self._devices[name].release(now_s))
            self._publish_state(name, now_s)

    def _publish_said(self, name: str, said: Said) -> None:
        is_too_loud = self._is_too_loud(name, len(said.values))
        if is_too_loud or (self._may_publish and not self._publish(said.values)):
            self._behind.add(name)
        for event in said.events:
            has_room = self._events_this_second[name] < MAX_EVENTS_PER_S
            if self._may_publish and has_room and self._publish((event,)):
                self._events_this_second[name] += 1
            else:
                self._lost_events[name] += 1

    def _publish_state(self, name: str, now_s: float) -> None:
        device = self._devices[name]
        if name not in self._behind:
            state = device.state(now_s)
            if self._may_publish and state is not None and not self._publish((state,)):
                self._behind.add(name)
        # A device that is behind is published anew by the next tick, whatever is due before.
        self._due_s[name] = math.inf if name in self._behind else device.due_s

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
        self._devices[name].came_online()
        self._publish_availability(name)

    def went_offline(self, name: str, reason: str) -> None:
        """The device can't be reached, and why, as a sentence."""
        self._devices[name].went_offline(reason)
        self._publish_availability(name)

    def _publish_availability(self, name: str) -> None:
        if self._may_publish:
            if not self._publish((self._devices[name].availability(),)):
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
            if not message.topic.startswith(f"{self._base}/bridge/"):
                self._take_command(message)
                continue
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

    def _take_command(self, message: Message) -> None:
        if not self._may_publish:
            return  # perhaps it is for the rival
        name, _, verb = message.topic.removeprefix(f"{self._base}/").partition("/")
        if verb != "get":
            self._command(message)
        elif name in self._devices:
            self._asked.add(name)

    def say_all(self) -> None:
        """Publish everything anew with the next tick: somebody has just come who knows nothing."""
        if self._may_publish:
            self._publish((self._birth(),))
        self._asked.update(self._devices)

    def publish(self, message: Message) -> None:
        """Say something besides: a receipt. What can't be said now is lost."""
        if self._may_publish:
            self._publish((message,))

    # --- once a second

    def tick(self, now_s: float) -> None:
        """Catch up with whatever could not be published, and say how we are."""
        self._rivalry.tick()
        self._values_this_second.clear()
        self._events_this_second.clear()
        self._values_of_all = 0
        for device in self._devices.values():
            device.tick(now_s)
        self._settle()
        if not self._may_publish:
            return
        for name in self._behind | self._asked:
            if not self._publish(self._devices[name].retained()):
                return
            self._behind.discard(name)
            self._asked.discard(name)
        for name in self._devices:
            self._publish_state(name, now_s)
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
        self._described = None
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
        revisions = {name: device.revision for name, device in self._devices.items()}
        if revisions == self._described:
            return
        devices = [device.description() for device in self._devices.values()]
        value = {"base": self._base, "devices": devices}
        if self._publish((retained_json(f"{self._base}/bridge/devices", value),)):
            self._described = revisions
            self._tell_described(devices)

    def _publish_health(self) -> None:
        """At once when a device comes, goes or fails otherwise than before; else now and then."""
        reasons = {name: device.reason for name, device in self._devices.items()}
        if reasons == self._reasons:
            return
        health = {name: self._device_health(name) for name in self._devices}
        value = {**self._besides(), "devices": health}
        if self._publish((retained_json(f"{self._base}/bridge/health", value),)):
            self._reasons = reasons

    def _device_health(self, name: str) -> dict[str, object]:
        device = self._devices[name]
        state = "online" if device.is_online else "offline"
        lost = self._lost_events[name]
        dropped = {**device.dropped, **({"event_lost": lost} if lost else {})}
        return {"state": state, "reason": device.reason, **self._counts(name), "dropped": dropped}

    def _birth(self) -> Message:
        return retained_json(f"{self._base}/bridge/state", {"state": "online"})

    def _info(self) -> dict[str, str]:
        return {"name": "Fieldgate", "version": __version__, "instance": self._rivalry.instance}
