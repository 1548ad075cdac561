"""A message on its way through the broker: encoded once for each version that receives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from broker.link import QoS
from broker.native.packet import V5, Publish, Version
from broker.native.properties import EMPTY, Properties
from broker.native.publish import PublishTemplate


@dataclass(slots=True)
class Stored:
    """A message's number in the store, and how many sessions are owed it."""

    number: int
    holders: int = 0


class Routed:
    """One application message. Not changed once made, but for what it remembers of itself."""

    __slots__ = (
        "_raw",
        "_raw_form",
        "_templates",
        "expires_at",
        "payload",
        "properties",
        "qos",
        "retain",
        "stored",
        "topic",
    )

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: QoS,
        *,
        retain: bool = False,
        properties: Properties = EMPTY,
        expires_at: float | None = None,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.expires_at = expires_at
        """When it is of no use any more, in the loop's time; None: never."""
        self.stored: Stored | None = None
        """Where it is in the store, while it is owed to somebody there."""
        self._raw: bytes | None = None
        self._raw_form = (False, False)
        self._templates: dict[bool, PublishTemplate] | None = None

    @classmethod
    def of(
        cls, packet: Publish, topic: str, version: Version, clock: Callable[[], float]
    ) -> Routed:
        """What a client published; a QoS 0 packet may be forwarded as it came."""
        if packet.properties is EMPTY:
            message = cls(topic, packet.payload, packet.qos, retain=packet.retain)
            message._raw = packet.raw
            message._raw_form = (version is V5, packet.retain)
            return message
        lifetime_s = packet.properties.message_expiry_interval_s
        return cls(
            topic,
            packet.payload,
            packet.qos,
            retain=packet.retain,
            properties=forwarded(packet.properties),
            expires_at=None if lifetime_s is None else clock() + lifetime_s,
        )

    def frame(
        self,
        version: Version,
        clock: Callable[[], float],
        *,
        retain: bool,
        identifiers: tuple[int, ...],
        alias: int | None = None,
        with_topic: bool = True,
    ) -> bytes:
        """The whole QoS 0 packet."""
        if (
            self._raw is not None
            and not identifiers
            and alias is None
            and self._raw_form == (version is V5, retain)
        ):
            return self._raw
        return self.template(version, clock).packet(
            retain=retain,
            subscription_identifiers=identifiers,
            topic_alias=alias,
            with_topic=with_topic,
        )

    def template(self, version: Version, clock: Callable[[], float]) -> PublishTemplate:
        """The same for all who speak this version; `clock` is asked where the message expires."""
        is_5 = version is V5
        if self.expires_at is not None and is_5:  # with what is left of it [MQTT5-3.3.2-6]
            left_s = max(0, round(self.expires_at - clock()))
            properties = msgspec.structs.replace(self.properties, message_expiry_interval_s=left_s)
            return PublishTemplate(self.topic, self.payload, version=version, properties=properties)
        if self._templates is None:
            self._templates = {}
        template = self._templates.get(is_5)
        if template is None:
            template = self._templates[is_5] = PublishTemplate(
                self.topic, self.payload, version=version, properties=self.properties
            )
        return template

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    @property
    def size(self) -> int:
        """What it costs to keep, about, in bytes."""
        return len(self.topic) + len(self.payload) + 200

    def forget_encodings(self) -> None:
        """Keep no more than the message itself: it was sent, and may now be kept for long."""
        self._raw = None
        self._templates = None


def forwarded(properties: Properties) -> Properties:
    """The properties of a PUBLISH or a will that go on to receivers [MQTT5-3.3.2-4, -15 to -20]."""
    found = Properties(
        payload_format_indicator=properties.payload_format_indicator,
        message_expiry_interval_s=properties.message_expiry_interval_s,
        content_type=properties.content_type,
        response_topic=properties.response_topic,
        correlation_data=properties.correlation_data,
        user_properties=properties.user_properties,
    )
    return EMPTY if found == EMPTY else found
