"""What a client's packets are answered with: when what they did is durable, and in their order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from broker.native.connection import Connection
from broker.native.packet import V5, Packet
from broker.native.reason import Reason
from broker.native.record import Store

MAX_UNSETTLED = 1000
"""Answers that wait for the disk, for one client; beyond it nothing more is read from it."""

_SUCCESS = Reason.SUCCESS


class Replies:
    """The replies to one connection."""

    __slots__ = ("_connection", "_is_held", "_store", "_unsettled")

    def __init__(self, connection: Connection, store: Store) -> None:
        self._connection = connection
        self._store = store
        self._unsettled = 0
        self._is_held = False

    def settle(self, packet: Packet, since: int, then: Callable[[], None] | None = None) -> None:
        """Answer when what the store has noted since then is durable, and after those before it.

        `then` is called behind the answer, if the client is still there.
        """
        store = self._store
        if store.noted == since and not self._unsettled:
            self._connection.send_packet(packet)
            if then is not None:
                then()
            return
        self._unsettled += 1
        if not self._is_held and (self._unsettled >= MAX_UNSETTLED or store.is_behind):
            self._is_held = True
            self._connection.hold()
        store.after(partial(self._settled, packet, then), self._connection)

    def reason(self, reason: Reason) -> Reason:
        """What an acknowledgement says: before MQTT 5 it can't say that something failed."""
        return reason if self._connection.version is V5 else _SUCCESS

    def _settled(self, packet: Packet, then: Callable[[], None] | None) -> None:
        self._unsettled -= 1
        self._connection.send_packet(packet)
        if then is not None and self._connection.is_open:
            then()
        if self._is_held and self._unsettled <= MAX_UNSETTLED // 2:
            self._is_held = False
            self._connection.release()
