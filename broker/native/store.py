"""The store: what must outlive the process, written by a thread of its own, a batch at a time.

The event loop only notes what has changed. A batch is handed to the writer at most `GATHER_S`
after its first note, or when the batch before it is written; so there are never more than two.
Where the disk is slow, answers wait, and with them the clients. Where it refuses, the broker says
so once and goes on in memory; what could not be written is kept, and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from sqlite3 import Error as SqliteError

from broker.native.batch import Batch, DeliveryRow, SessionRow
from broker.native.database import Database
from broker.native.delivery import Delivery
from broker.native.mqtt_session import MqttSession
from broker.native.record import OFF, Record
from broker.native.routed import Routed, Stored
from broker.native.router import Grant

log = logging.getLogger(__name__)

GATHER_S = 0.01
"""How long a batch gathers: answers wait for it, and an SD card is worn out by each."""

RETAINED_S = 1.0
"""How often retained QoS 0 values are written, the newest of each topic."""

RETRY_S = 10.0
SLICE = 500
"""Answers that are sent in one turn of the loop."""

CLOSE_S = 2.0
"""How long the last batch may take when the broker stops."""


class SessionRecord:
    """One session's page in a `DurableStore`; see `Record`."""

    __slots__ = ("_store", "number")

    def __init__(self, store: DurableStore, number: int) -> None:
        self._store = store
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
        self._store.batch.received[self.number, packet_id] = True
        self._store.note()

    def released(self, packet_id: int) -> None:
        self._store.batch.received[self.number, packet_id] = False
        self._store.note()

    def granted(self, grant: Grant) -> None:
        key = (self.number, grant.share or "", grant.topic_filter)
        self._store.batch.subscriptions[key] = grant
        self._store.note()

    def revoked(self, topic_filter: str, share: str | None) -> None:
        self._store.batch.subscriptions[self.number, share or "", topic_filter] = None
        self._store.note()

    def after(self, then: Callable[[], None]) -> None:
        self._store.after(then)


class DurableStore:
    """See above, and `Store`. Lives on one event loop."""

    def __init__(
        self,
        database: Database,
        thread: Executor,
        next_number: int,
        *,
        gather_s: float,
        retry_s: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._database = database
        self._thread = thread
        self._gather_s = gather_s
        self._retry_s = retry_s
        self._next_number = next_number
        self.batch = Batch(next_number)
        self._writing: asyncio.Future[None] | None = None
        self._is_due = False
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._unhurried: dict[str, Routed | None] = {}
        self._unhurried_timer: asyncio.TimerHandle | None = None
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._durable = 0
        self.noted = 0
        self.is_failing = False
        self.failures = 0
        """Batches that could not be written."""
        self.undurable = 0
        """Notes that were answered without being durable, because the disk refused."""
        self.commits = 0

    @property
    def waiting(self) -> int:
        """Answers that wait for the disk now."""
        return len(self._waiting)

    # --- from the broker

    def joined(self, session: MqttSession, /) -> Record:
        if session.expiry_s == 0:
            self.forget(session)
            return OFF
        record = session.record
        if not isinstance(record, SessionRecord):
            record = SessionRecord(self, self.new_number())
        self._put_session(record.number, session, absent_since=None)
        return record

    def left(self, session: MqttSession) -> None:
        if isinstance(session.record, SessionRecord):
            self._put_session(session.record.number, session, absent_since=time.time())

    def forget(self, session: MqttSession) -> None:
        record = session.record
        if not isinstance(record, SessionRecord):
            return
        session.record = OFF
        for delivery in session.owed:
            self.batch.deliveries.pop((record.number, delivery.number), None)
            record.let_go(delivery)
        self.batch.forget(record.number)
        self.write_soon()

    def retained(self, message: Routed) -> None:
        topic = message.topic
        if topic.startswith("$"):  # the broker's own say, which is made anew
            return
        if message.qos:
            self._unhurried.pop(topic, None)
            self.batch.retained[topic] = message if message.payload else None
            self.note()
        else:
            self._write_unhurried(topic, message if message.payload else None)

    def expired(self, topic: str) -> None:
        self._write_unhurried(topic, None)

    def after(self, then: Callable[[], None]) -> None:
        if not self._waiting and self._durable >= self.noted:
            then()
        else:
            self._waiting.append((self.noted, then))

    # --- from the records

    def new_number(self) -> int:
        number = self._next_number
        self._next_number += 1
        return number

    def note(self) -> None:
        """Something has changed that an answer may wait for."""
        self.noted += 1
        if self.is_failing:
            self.undurable += 1
            self._durable = self.noted
        else:
            self.write_soon()

    def write_soon(self) -> None:
        if self._timer is None and not (self._is_due or self.is_failing or self._is_closed):
            self._timer = self._loop.call_later(self._gather_s, self._hand_over)

    # --- how

    def _put_session(
        self, number: int, session: MqttSession, *, absent_since: float | None
    ) -> None:
        self.batch.sessions[number] = SessionRow(
            session.client_id, session.user.name, session.expiry_s, absent_since
        )
        self.write_soon()

    def _write_unhurried(self, topic: str, message: Routed | None) -> None:
        self._unhurried[topic] = message
        if self._unhurried_timer is None:
            self._unhurried_timer = self._loop.call_later(RETAINED_S, self._take_unhurried)

    def _take_unhurried(self) -> None:
        self._unhurried_timer = None
        self.batch.retained |= self._unhurried
        self._unhurried = {}
        self.write_soon()

    def _hand_over(self) -> None:
        self._timer = None
        if self._writing is not None:
            self._is_due = True
            return
        batch, self.batch = self.batch, Batch(self._next_number)
        batch.mark = self.noted
        if not batch:  # what came is gone already
            self._settle(batch.mark)
            return
        offset = time.time() - self._loop.time()
        self._writing = self._loop.run_in_executor(
            self._thread, self._database.write, batch, offset
        )
        self._writing.add_done_callback(lambda done: self._written(batch, done))

    def _written(self, batch: Batch, done: asyncio.Future[None]) -> None:
        """The one place where the writer's thread comes back to the loop."""
        self._writing = None
        error = done.exception()
        if error is None:
            self.commits += 1
            if self.is_failing:
                self.is_failing = False
                self.write_soon()
                log.warning("The disk takes what the broker keeps again; all of it is written.")
            if self._is_due:
                self._is_due = False
                self._hand_over()
            self._settle(batch.mark)
        else:
            self._failed(batch, error)

    def _failed(self, batch: Batch, error: BaseException) -> None:
        self.failures += 1
        self.batch = batch.followed_by(self.batch)
        if not self.is_failing:
            self.is_failing = True
            log.error(
                "The disk does not take what the broker keeps (%s): sessions, queued and retained"
                " messages are in memory only until it does, and it is tried every %.0f s.",
                error,
                self._retry_s,
            )
        self.undurable += self.noted - self._durable
        self._is_due = False
        self._stop_timer()
        self._timer = self._loop.call_later(self._retry_s, self._hand_over)
        self._settle(self.noted)

    def _settle(self, mark: int) -> None:
        self._durable = max(self._durable, mark)
        self._answer()

    def _answer(self) -> None:
        try:
            for _ in range(SLICE):
                if not self._may_answer:
                    return
                self._waiting.popleft()[1]()
        finally:  # one answer's fault must not keep back the others
            if self._may_answer:
                self._loop.call_soon(self._answer)

    @property
    def _may_answer(self) -> bool:
        return bool(self._waiting) and self._waiting[0][0] <= self._durable

    async def close(self) -> None:
        """Write the rest and mark the file as stopped, unless that takes too long."""
        if self._unhurried_timer is not None:
            self._unhurried_timer.cancel()
        self._take_unhurried()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._write_the_rest()
                is_complete = not self.batch
                await self._loop.run_in_executor(
                    self._thread, lambda: self._database.close(is_complete=is_complete)
                )
        except TimeoutError:
            log.error("The disk is too slow to write the last of what the broker keeps.")
        except SqliteError as error:
            log.error("What the broker keeps could not be closed as it should be (%s).", error)
        finally:
            self._is_closed = True
            self._stop_timer()

    async def _write_the_rest(self) -> None:
        while True:
            while self._writing is not None:
                await asyncio.wait([self._writing])
            self._stop_timer()
            self._is_due = False
            failures = self.failures
            self._hand_over()
            if self._writing is None:
                return
            await asyncio.wait([self._writing])
            if self.failures > failures:
                return

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
