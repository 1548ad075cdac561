"""The store: what must outlive the process, written by a thread of its own, a batch at a time.

The event loop only notes what has changed. A batch is handed to the writer at most `GATHER_S`
after its first note, or when the batch before it is written; so there are never more than two.
Where the disk is slow, answers wait, and with them the clients. Where it refuses, the broker says
so once and goes on in memory; what could not be written is kept, and tried again. Where it hangs,
the broker says so once, too; what needs no disk goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from sqlite3 import Error as SqliteError

from broker.native.answers import MAX_WAITING, SOMEBODY, Addressee, Answers
from broker.native.batch import Batch, Changes, SessionRow
from broker.native.database import Database
from broker.native.mqtt_session import MqttSession
from broker.native.record import OFF, Record
from broker.native.routed import Routed
from broker.native.session_record import SessionRecord

log = logging.getLogger(__name__)

GATHER_S = 0.01
"""How long a batch gathers: answers wait for it, and an SD card is worn out by each."""

RETAINED_S = 1.0
"""How often retained QoS 0 values are written, the newest of each topic."""

RETRY_S = 10.0
HANG_S = 3.0
"""How long a batch may take before that is worth a word: the slowest card does it in one."""

CLOSE_S = 2.0
"""How long the last batch may take when the broker stops."""


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
        self._in_writing = 0
        self._hang_timer: asyncio.TimerHandle | None = None
        self._hangs_since: float | None = None
        self._is_due = False
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._unhurried: Changes[str, Routed] = Changes()
        self._unhurried_timer: asyncio.TimerHandle | None = None
        self._answers = Answers()
        self.noted = 0
        self.is_failing = False
        self.failures = 0
        """Batches that could not be written."""
        self.undurable = 0
        """Notes that were answered without being durable, because the disk refused."""
        self.commits = 0
        self.written = 0
        """Rows that came into the file, changed there or went away."""
        self.hangs = 0
        """Times at which a batch took longer than `HANG_S`."""

    @property
    def waiting(self) -> int:
        """Answers that wait for the disk now."""
        return len(self._answers)

    @property
    def is_behind(self) -> bool:
        """Whether so many of them wait that no client should cause many more."""
        return len(self._answers) >= MAX_WAITING

    def report(self) -> Mapping[str, int | str]:
        """What there is to tell of it, by name."""
        state = "refusing" if self.is_failing else "ok" if self._hangs_since is None else "hanging"
        return {
            "state": state,
            "written": self.written,
            "pending": self._in_writing + len(self.batch) + len(self._unhurried),
            "waiting": self.waiting,
            "errors": self.failures,
            "undurable": self.undurable,
            "hangs": self.hangs,
            "size": self._database.size,
        }

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

    def retained(self, message: Routed, *, is_new: bool) -> None:
        topic = message.topic
        if topic.startswith("$"):  # the broker's own say, which is made anew
            return
        if not message.qos:
            self._write_unhurried(topic, message if message.payload else None, is_new=is_new)
            return
        is_new = not self._unhurried.forget(topic) and is_new
        if message.payload:
            self.batch.retained.put(topic, message, is_new=is_new)
        else:
            self.batch.retained.drop(topic)
        self.note()

    def expired(self, topic: str) -> None:
        self._write_unhurried(topic, None)

    def after(self, then: Callable[[], None], addressee: Addressee = SOMEBODY) -> None:
        self._answers.after(self.noted, then, addressee)

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
            self._answers.durable = self.noted
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

    def _write_unhurried(self, topic: str, message: Routed | None, *, is_new: bool = False) -> None:
        if message is None:
            self._unhurried.drop(topic)
        else:
            self._unhurried.put(topic, message, is_new=is_new)
        if self._unhurried_timer is None:
            self._unhurried_timer = self._loop.call_later(RETAINED_S, self._take_unhurried)

    def _take_unhurried(self) -> None:
        self._unhurried_timer = None
        self.batch.retained.take_in(self._unhurried)
        self._unhurried = Changes()
        self.write_soon()

    def _hand_over(self) -> None:
        self._timer = None
        if self._writing is not None:
            self._is_due = True
            return
        batch, self.batch = self.batch, Batch(self._next_number)
        batch.mark = self.noted
        if not batch:  # what came is gone already
            self._answers.settle(batch.mark)
            return
        self._in_writing = len(batch)
        self._hang_timer = self._loop.call_later(HANG_S, self._hangs)
        offset = time.time() - self._loop.time()
        self._writing = self._loop.run_in_executor(
            self._thread, self._database.write, batch, offset
        )
        self._writing.add_done_callback(lambda done: self._written(batch, done))

    def _written(self, batch: Batch, done: asyncio.Future[None]) -> None:
        """The one place where the writer's thread comes back to the loop."""
        self._writing = None
        self._goes_on()
        rows, self._in_writing = self._in_writing, 0
        error = done.exception()
        if error is None:
            self.commits += 1
            self.written += rows
            if self.is_failing:
                self.is_failing = False
                self.write_soon()
                log.warning("The disk takes what the broker keeps again; all of it is written.")
            if self._is_due:
                self._is_due = False
                self._hand_over()
            self._answers.settle(batch.mark)
        else:
            self._failed(batch, error)

    def _hangs(self) -> None:
        self.hangs += 1
        self._hangs_since = self._loop.time() - HANG_S
        log.error(
            "The disk has not taken what the broker keeps for %.0f s: what is to be acknowledged"
            " waits for it, all else goes on.",
            HANG_S,
        )

    def _goes_on(self) -> None:
        if self._hang_timer is not None:
            self._hang_timer.cancel()
        if self._hangs_since is not None:
            log.warning(
                "The disk answers again, after %.0f s.", self._loop.time() - self._hangs_since
            )
            self._hangs_since = None

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
        self.undurable += self.noted - self._answers.durable
        self._is_due = False
        self._stop_timer()
        self._timer = self._loop.call_later(self._retry_s, self._hand_over)
        self._answers.settle(self.noted)

    async def close(self) -> None:
        """Write the rest and mark the file as stopped, unless that takes too long."""
        if self._unhurried_timer is not None:
            self._unhurried_timer.cancel()
        self._take_unhurried()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._write_the_rest()
                is_complete = not self.batch
                if not is_complete:
                    log.error(
                        "%d changes of what the broker keeps could not be written and end with it.",
                        len(self.batch),
                    )
                await self._loop.run_in_executor(
                    self._thread, lambda: self._database.close(is_complete=is_complete)
                )
        except TimeoutError:
            log.error(
                "The disk is too slow to write the last of what the broker keeps: %d changes are"
                " not written.",
                self._in_writing + len(self.batch),
            )
            # Its turn comes if the disk goes on before the program has ended.
            self._thread.submit(self._database.close, is_complete=False)
        except SqliteError as error:
            log.error("What the broker keeps could not be closed as it should be (%s).", error)
        finally:
            self._is_closed = True
            self._stop_timer()
            if self._hang_timer is not None:
                self._hang_timer.cancel()

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
