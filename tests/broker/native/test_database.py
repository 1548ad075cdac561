"""Whatever happens to sessions and retained messages, the file says it after a restart."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.access import User
from broker.link import QoS
from broker.native.aliases import TopicAliases
from broker.native.batch import Batch
from broker.native.contents import Contents
from broker.native.database import Database
from broker.native.delivery import Delivery
from broker.native.message_run import MessageRun
from broker.native.mqtt_session import MqttSession
from broker.native.packet import Pubrel, Version, Will
from broker.native.properties import EMPTY, Properties
from broker.native.routed import Routed
from broker.native.router import Grant, Route, Share
from broker.native.store import DurableStore

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
TOPIC = st.sampled_from(["a", "a/b"]) | TEXT.map(
    lambda text: "t/" + text.replace("+", "").replace("#", "")
)
PROPERTIES = st.just(EMPTY) | st.builds(
    Properties,
    payload_format_indicator=st.none() | st.booleans(),
    message_expiry_interval_s=st.none() | st.integers(0, 0xFFFFFFFF),
    content_type=st.none() | TEXT,
    response_topic=st.none() | TOPIC,
    correlation_data=st.none() | st.binary(max_size=8),
    user_properties=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
)
MESSAGE = st.builds(
    Routed,
    TOPIC,
    st.binary(max_size=8),
    st.sampled_from([QoS.EXACTLY_ONCE, QoS.AT_LEAST_ONCE, QoS.AT_MOST_ONCE]),
    retain=st.booleans(),
    properties=PROPERTIES,
    expires_at=st.none() | st.integers(0, 2**31).map(float),
)
WILL = st.none() | st.builds(
    Will,
    TOPIC,
    st.binary(max_size=8),
    st.sampled_from(QoS),
    st.booleans(),
    PROPERTIES | st.just(Properties(will_delay_interval_s=5)),
)
GRANT = st.builds(
    Grant,
    st.sampled_from(["a", "a/#", "+/b"]),
    st.sampled_from(QoS),
    no_local=st.booleans(),
    retain_as_published=st.booleans(),
    identifier=st.none() | st.integers(1, 0xFFFFFFF),
    share=st.none() | st.sampled_from(["g", "h"]),
)


class Wire:
    """A client that takes some messages at once and answers nothing by itself."""

    has_room = True
    is_open = True

    def __init__(self) -> None:
        self.version = Version.V5
        self.window = 3
        self.aliases: TopicAliases | None = None

    def send(self, _frame: bytes) -> bool:
        return True

    def send_run(self, _run: MessageRun) -> bool:
        return True

    def send_packet(self, _packet: Pubrel) -> bool:
        return True

    def now(self) -> float:
        return 0.0


class FaultyDatabase(Database):
    """A disk that refuses when told to."""

    refuses = False

    def write(self, batch: Batch, offset: float) -> None:
        if self.refuses:
            raise sqlite3.OperationalError("disk I/O error")
        super().write(batch, offset)


class Life:
    """Sessions and retained messages in memory, as the broker has them."""

    def __init__(self, store: DurableStore, database: FaultyDatabase) -> None:
        self.store = store
        self.database = database
        self.sessions: dict[str, MqttSession] = {}
        self.grants: dict[str, dict[tuple[str, str | None], Grant]] = {}
        self.retained: dict[str, Routed] = {}
        self.wills: dict[str, Will | None] = {}

    def join(self, name: str, expiry_s: float | None, user: str | None) -> None:
        self.leave(name)  # a connection that is there is ended first [MQTT-3.1.4-3]
        session = self.sessions.get(name)
        if session is None:
            session = self.sessions[name] = MqttSession(name, User(user))
            self.grants[name] = {}
        session.expiry_s = expiry_s
        session.record = self.store.joined(session)
        session.record.will_is(None)
        self.wills[name] = None
        session.wire = Wire()
        session.resume()

    def leave(self, name: str) -> None:
        session = self.sessions.get(name)
        if session is None:
            return
        session.wire = None
        if session.expiry_s == 0:
            self.forget(name)
        else:
            self.store.left(session)

    def forget(self, name: str) -> None:
        session = self.sessions.pop(name, None)
        if session is not None:
            self.store.forget(session)

    def deliver(
        self, message: Routed, qos: QoS, identifiers: tuple[int, ...], share: Share | None
    ) -> None:
        for session in self.sessions.values():
            session.deliver(message, Route(session, qos, True, identifiers, share=share))

    def will_is(self, name: str, will: Will | None, due: int | None) -> None:
        session = self.sessions.get(name)
        if session is not None:
            session.record.will_is(will, due)
            self.wills[name] = will

    def answer(self, name: str) -> None:
        """PUBACK, or PUBREC and later PUBCOMP, for the oldest message in flight."""
        session = self.sessions.get(name)
        found = [each for each in session.owed if each.packet_id] if session else []
        if not found or session is None:
            return
        oldest = found[0]
        if oldest.qos is QoS.AT_LEAST_ONCE:
            session.acknowledged(oldest.packet_id)
        elif oldest.is_received:
            session.completed(oldest.packet_id)
        else:
            session.received(oldest.packet_id, failed=False)

    def receive(self, name: str, packet_id: int, is_open: bool) -> None:
        session = self.sessions.get(name)
        if session is not None and is_open:
            session.received_ids.add(packet_id)
            session.record.received(packet_id)
        elif session is not None:
            session.received_ids.discard(packet_id)
            session.record.released(packet_id)

    def grant(self, name: str, grant: Grant, is_wanted: bool) -> None:
        session = self.sessions.get(name)
        if session is not None and is_wanted:
            key = (grant.topic_filter, grant.share)
            session.record.granted(grant, is_new=key not in self.grants[name])
            self.grants[name][key] = grant
        elif session is not None:
            self.grants[name].pop((grant.topic_filter, grant.share), None)
            session.record.revoked(grant.topic_filter, grant.share)

    def retain(self, message: Routed) -> None:
        is_new = self.retained.pop(message.topic, None) is None
        if message.payload:
            self.retained[message.topic] = message
        self.store.retained(message, is_new=is_new)

    def refuse(self, refuses: bool) -> None:
        self.database.refuses = refuses

    def nothing(self) -> None: ...


NAME = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just(Life.join),
            NAME,
            st.sampled_from([0.0, 3600.0, None]),
            st.sampled_from([None, "u"]),
        ),
        st.tuples(st.just(Life.leave), NAME),
        st.tuples(st.just(Life.forget), NAME),
        st.tuples(
            st.just(Life.deliver),
            MESSAGE,
            st.sampled_from([QoS.AT_LEAST_ONCE, QoS.EXACTLY_ONCE]),
            st.sampled_from([(), (1,), (2, 300)]),
            st.sampled_from([None, ("g", "a/#"), ("h", "$share/x/#")]),
        ),
        st.tuples(st.just(Life.will_is), NAME, WILL, st.none() | st.integers(0, 2**31)),
        st.tuples(st.just(Life.answer), NAME),
        st.tuples(st.just(Life.receive), NAME, st.integers(1, 3), st.booleans()),
        st.tuples(st.just(Life.grant), NAME, GRANT, st.booleans()),
        st.tuples(st.just(Life.retain), MESSAGE),
        st.tuples(st.just(Life.refuse), st.booleans()),
        st.tuples(st.just(Life.nothing)),
    ),
    min_size=10,
    max_size=60,
)


def message_of(message: Routed) -> tuple[object, ...]:
    return (
        message.topic,
        message.payload,
        message.qos,
        message.retain,
        message.properties,
        None if message.expires_at is None else round(message.expires_at),
    )


def delivery_of(delivery: Delivery) -> tuple[object, ...]:
    return (
        *message_of(delivery.message),
        delivery.qos,
        delivery.retain,
        delivery.identifiers,
        delivery.packet_id,
        delivery.is_received,
        delivery.share,
    )


@settings(max_examples=150)
@given(STEPS, st.sets(st.integers(0, 60), max_size=12))
def test_after_any_life_the_file_holds_what_the_broker_held(
    steps: list[tuple[Callable[..., None], object]], commits: set[int]
) -> None:
    async def live(path: Path) -> Life:
        """Take the steps; after some of them the writer gets its turn."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as thread:
            database = await loop.run_in_executor(thread, open_empty, path)
            store = DurableStore(database, thread, 1, gather_s=0, retry_s=0.0005)
            life = Life(store, database)
            life.join("a", None, None)
            life.join("b", 3600.0, "u")
            for number, (step, *values) in enumerate(steps):
                step(life, *values)
                if number in commits:
                    await asyncio.sleep(0.001)
            database.refuses = False
            for name in tuple(life.sessions):
                life.leave(name)
            await store.close()
        return life

    def open_empty(path: Path) -> FaultyDatabase:
        database = FaultyDatabase(path, durability="process")
        database.load(0.0)
        return database

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broker.sqlite"
        life = asyncio.run(live(path))
        database = Database(path, durability="process")
        contents = database.load(time.time() - time.monotonic())  # as asyncio's loop counts
        orphans = orphaned(path)
        database.close(is_complete=False)
    compare(life, contents)
    assert orphans == 0


def orphaned(path: Path) -> int:
    """Rows that belong to nothing any more."""
    file = sqlite3.connect(path)
    try:
        (count,) = file.execute(
            "SELECT (SELECT count(*) FROM message WHERE number NOT IN"
            " (SELECT message FROM delivery))"
        ).fetchone()
    finally:
        file.close()
    return int(count)


def compare(life: Life, contents: Contents) -> None:
    assert contents.was_stopped
    now = {message.topic: message_of(message)[:3] for message in contents.retained}
    assert now == {topic: message_of(each)[:3] for topic, each in life.retained.items()}
    assert {each.row.client_id for each in contents.sessions} == set(life.sessions)
    for stored in contents.sessions:
        session = life.sessions[stored.row.client_id]
        assert (stored.row.user, stored.row.expiry_s) == (session.user.name, session.expiry_s)
        assert stored.received == session.received_ids
        will = life.wills.get(session.client_id) if session.expiry_s != 0 else None
        assert (stored.will and stored.will.will) == will
        grants = life.grants[session.client_id].values()
        assert {(g.topic_filter, g.share or ""): g for g in stored.grants} == {
            (g.topic_filter, g.share or ""): g for g in grants
        }
        owed = sorted(session.owed, key=lambda each: each.number)
        assert [delivery_of(each) for each in stored.deliveries] == [
            delivery_of(each) for each in owed
        ]
