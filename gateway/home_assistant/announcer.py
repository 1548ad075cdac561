"""What Home Assistant was told, what it is to be told, and what it is to forget. Pure.

The broker holds what was told: retained configs, ours and others'. They are collected when the
link comes up, before anything is published; then only differences are.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from broker.link import Message, QoS, Subscription
from gateway.device import json_bytes
from gateway.home_assistant.config import HomeAssistantConfig
from gateway.home_assistant.discovery import Payload, Site, components_of, discovery, parsed

log = logging.getLogger(__name__)

BIRTH_WAIT_S = (1.0, 5.0)
"""After Home Assistant's birth: it is not ready at once, and not all gateways speak together."""

KEEP_UNSEEN_S = 24 * 3600.0
"""How long an entity is kept whose point has not been seen since our start: the slowest sensor that
people have speaks once a day, and an entity that is taken away loses what its owner set."""

MAX_HELD = 10_000
"""Configs of ours that are kept track of; what is beyond is left alone."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What `fieldgate ha plan` shows."""

    create: tuple[str, ...]
    change: tuple[str, ...]
    remove: tuple[str, ...]


def difference(held: Mapping[str, Payload], wanted: Mapping[str, Payload]) -> Difference:
    """By discovery id."""
    return Difference(
        tuple(sorted(wanted.keys() - held.keys())),
        tuple(sorted(name for name in wanted.keys() & held.keys() if wanted[name] != held[name])),
        tuple(sorted(held.keys() - wanted.keys())),
    )


def steps(
    prefix: str, held: Mapping[str, Payload], wanted: Mapping[str, Payload]
) -> Iterator[Message]:
    """The messages that lead from one to the other."""
    plan = difference(held, wanted)
    for name in plan.remove:
        yield _config(prefix, name, None)
    for name in (*plan.create, *plan.change):
        if gone := _gone(held.get(name, {}), wanted[name]):
            # Only what is named by its platform alone is taken away; to leave it out does nothing.
            components = wanted[name]["components"] | gone
            yield _config(prefix, name, wanted[name] | {"components": components})
        yield _config(prefix, name, wanted[name])


def config_id(prefix: str, topic: str) -> str | None:
    """The discovery id in a topic, where it is that of a device's config."""
    levels = topic.removeprefix(f"{prefix}/device/").split("/")
    is_config = topic.startswith(f"{prefix}/device/") and len(levels) == 2 and levels[1] == "config"
    return levels[0] if is_config else None


class Announcer:
    """Keeps Home Assistant's picture of our devices true.

    `now_s` is everywhere the same monotonic clock, in seconds.
    """

    def __init__(
        self,
        config: HomeAssistantConfig,
        site: Site,
        *,
        publish: Callable[[Message], object],
        say_all: Callable[[], None],
        chance: random.Random | None = None,
    ) -> None:
        """`say_all` publishes all states anew."""
        self._config = config
        self._site = site
        self._publish = publish
        self._say_all = say_all
        self._chance = chance or random.Random()
        self._held: dict[str, Payload] = {}
        self._approved: set[str] = set()
        self._is_collecting = True
        self._began_s: float | None = None
        self.due_s = math.inf
        """When to call `release` next; infinite while nothing waits."""

    def subscriptions(self) -> tuple[Subscription, ...]:
        """What it listens to."""
        prefix = self._config.discovery_prefix
        filters = (f"{prefix}/device/+/config", f"{prefix}/status")
        return tuple(Subscription(one, QoS.AT_LEAST_ONCE) for one in filters)

    def begin(self) -> None:
        """The link is up: what the broker holds comes now."""
        self._held.clear()
        self._is_collecting = True

    def receive(self, message: Message, now_s: float) -> bool:
        """Take a message if it is about Home Assistant."""
        prefix = self._config.discovery_prefix
        if message.topic == f"{prefix}/status":
            if message.payload == b"online" and not message.retain:
                self.due_s = now_s + self._chance.uniform(*BIRTH_WAIT_S)
            return True
        name = config_id(prefix, message.topic)
        if name is None:
            return False
        if self._is_collecting and len(self._held) < MAX_HELD:
            payload = parsed(message.payload)
            if payload is not None and self._site.owns(payload):
                self._held[name] = payload
        return True

    def approve(self, device: str) -> None:
        """Whoever is asked (`announce: ask`) said yes to a device, by its id."""
        if len(self._approved) < MAX_HELD:
            self._approved.add(f"{self._site.root}_{device}")

    def waiting(self, devices: object) -> list[str]:
        """The discovery ids that nobody said yes to yet."""
        return [name for name in discovery(self._site, devices) if not self._may_announce(name)]

    def update(self, devices: object, now_s: float) -> None:
        """Publish what differs between what the broker holds and what is so now.

        `devices` is the list of `bridge/devices`.
        """
        self._is_collecting = False
        if self._began_s is None:
            self._began_s = now_s
        is_early = now_s - self._began_s < KEEP_UNSEEN_S
        wanted = {
            name: payload
            for name, payload in discovery(
                self._site, devices, self._held if is_early else {}
            ).items()
            if self._may_announce(name)
        }
        for message in steps(self._config.discovery_prefix, self._held, wanted):
            self._publish(message)
        for name in self._held.keys() - wanted.keys():
            log.info("Home Assistant: %s is taken away", name)
        self._held = wanted

    def release(self, now_s: float) -> None:
        """Home Assistant has just started: say all that it may have missed."""
        if self.due_s <= now_s:
            self.due_s = math.inf
            self._say_all()

    def _may_announce(self, name: str) -> bool:
        is_bridge = name == f"{self._site.root}_bridge"
        is_asked = self._config.announce == "ask" and not is_bridge
        return not is_asked or name in self._held or name in self._approved


def _gone(held: Payload, wanted: Payload) -> dict[str, object]:
    return {
        key: {"platform": one.get("platform")}
        for key, one in components_of(held).items()
        if key not in wanted["components"]
    }


def _config(prefix: str, name: str, payload: Payload | None) -> Message:
    content = b"" if payload is None else json_bytes(payload)
    return Message(f"{prefix}/device/{name}/config", content, QoS.AT_LEAST_ONCE, retain=True)
