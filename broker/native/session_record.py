"""One session's page in the store; see `Record`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from broker.native.answers import SOMEBODY, Addressee
from broker.native.batch import DeliveryRow, WillRow
from broker.native.delivery import Delivery
from broker.native.packet import Will
from broker.native.routed import Stored
from broker.native.router import Grant

if TYPE_CHECKING:
    from broker.native.store import DurableStore


class SessionRecord:
    """Notes what changes in the store's batch."""

    __slots__ = ("_has_will", "_store", "number")

    def __init__(self, store: DurableStore, number: int, *, has_will: bool = False) -> None:
        self._store = store
        self._has_will = has_will
        self.number = number

    def put(self, delivery: Delivery) -> None:
        store, message = self._store, delivery.message
        stored = message.stored
        if not delivery.number:
            if stored is None:
                stored = message.stored = Stored(store.new_number())
                store.batch.messages[stored.number] = message
            stored.holders += 1
            delivery.number = store.new_number()
        assert stored is not None
        store.batch.deliveries[self.number, delivery.number] = DeliveryRow(
            stored.number,
            delivery.qos,
            delivery.retain,
            delivery.identifiers,
            delivery.packet_id,
            delivery.is_received,
            delivery.share,
        )
        store.note()

    def drop(self, delivery: Delivery) -> None:
        if not delivery.number:
            return
        self._store.batch.drop_delivery(self.number, delivery.number)
        self.let_go(delivery)
        self._store.write_soon()

    def let_go(self, delivery: Delivery) -> None:
        """Drop the message too where nobody else is owed it."""
        stored = delivery.message.stored
        assert stored is not None
        delivery.number = 0
        stored.holders -= 1
        if not stored.holders:
            delivery.message.stored = None
            self._store.batch.drop_message(stored.number)

    def received(self, packet_id: int) -> None:
        self._store.batch.received[self.number][packet_id] = True
        self._store.note()

    def released(self, packet_id: int) -> None:
        self._store.batch.received[self.number][packet_id] = False
        self._store.note()

    def granted(self, grant: Grant, *, is_new: bool) -> None:
        key = (grant.share or "", grant.topic_filter)
        self._store.batch.subscriptions[self.number].put(key, grant, is_new=is_new)
        self._store.note()

    def revoked(self, topic_filter: str, share: str | None) -> None:
        self._store.batch.subscriptions[self.number].drop((share or "", topic_filter))
        self._store.note()

    def will_is(self, will: Will | None, due: float | None = None) -> None:
        if will is None and not self._has_will:
            return
        self._has_will = will is not None
        self._store.batch.wills[self.number] = None if will is None else WillRow(will, due)
        self._store.write_soon()

    def after(self, then: Callable[[], None], addressee: Addressee = SOMEBODY) -> None:
        self._store.after(then, addressee)
