"""What sessions and retained messages tell a store, and the store that keeps nothing.

A `Record` is one MQTT session's page in the store. A session that ends with its connection has
`OFF` for one, and a broker without a data folder has `OFF_STORE`: the same members, no disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from broker.native.answers import Addressee
    from broker.native.delivery import Delivery
    from broker.native.mqtt_session import MqttSession
    from broker.native.packet import Will
    from broker.native.routed import Routed
    from broker.native.router import Grant


class Record(Protocol):
    """What of a session outlives the process. Each call is quick and never waits for the disk."""

    def put(self, delivery: Delivery) -> None:
        """A message is owed to the client: a new one, or what is known of it has changed."""

    def drop(self, delivery: Delivery) -> None:
        """It is owed no more."""

    def received(self, packet_id: int) -> None:
        """The client sent a QoS 2 message of this number and hasn't released it."""

    def released(self, packet_id: int) -> None: ...

    def granted(self, grant: Grant, *, is_new: bool) -> None:
        """A subscription is in force; it is new, or in place of one to the same filter."""

    def revoked(self, topic_filter: str, share: str | None) -> None: ...

    def will_is(self, will: Will | None, due: float | None = None) -> None:
        """The will of the session's client, from `due` on in the loop's time; None: no more."""

    def after(self, then: Callable[[], None], addressee: Addressee) -> None:
        """Call `then` when all that was recorded until now is durable; now, where it is.

        Where its addressee has left by then, nobody calls it.
        """


class Store(Protocol):
    """What of the whole broker outlives the process."""

    noted: int
    """Grows with everything that is noted and worth waiting for, so a caller sees if it did."""

    def joined(self, session: MqttSession, /) -> Record:
        """A client has come to this session; the record that is the session's from now on."""

    def left(self, session: MqttSession) -> None:
        """Its client has gone, and the session stays."""

    def forget(self, session: MqttSession) -> None:
        """The session has ended."""

    def retained(self, message: Routed, *, is_new: bool) -> None:
        """A topic has another retained message, its first, or none where the payload is empty."""

    def expired(self, topic: str) -> None:
        """A topic's retained message is of no use any more."""

    @property
    def is_behind(self) -> bool:
        """Whether no client should make many more answers wait."""

    def after(self, then: Callable[[], None], addressee: Addressee) -> None:
        """Call `then` when all that was noted until now is durable; now, where it is.

        Where its addressee has left by then, nobody calls it.
        """

    def report(self) -> Mapping[str, int | str]:
        """What there is to tell of it, by name."""


class Off:
    """The record of a session that nothing is kept of."""

    def put(self, delivery: Delivery) -> None: ...

    def drop(self, delivery: Delivery) -> None: ...

    def received(self, packet_id: int) -> None: ...

    def released(self, packet_id: int) -> None: ...

    def granted(self, grant: Grant, *, is_new: bool) -> None: ...

    def revoked(self, topic_filter: str, share: str | None) -> None: ...

    def will_is(self, will: Will | None, due: float | None = None) -> None: ...

    def after(self, then: Callable[[], None], _addressee: Addressee) -> None:
        then()


OFF = Off()


class OffStore:
    """The store of a broker that keeps nothing."""

    noted = 0
    is_behind = False

    def joined(self, _session: MqttSession) -> Record:
        return OFF

    def left(self, session: MqttSession) -> None: ...

    def forget(self, session: MqttSession) -> None: ...

    def retained(self, message: Routed, *, is_new: bool) -> None: ...

    def expired(self, topic: str) -> None: ...

    def after(self, then: Callable[[], None], _addressee: Addressee) -> None:
        then()

    def report(self) -> Mapping[str, int | str]:
        return {}


OFF_STORE = OffStore()
