"""Random operations by several clients, against a model that knows nothing of how it is done."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.link import QoS
from broker.native.packet import Disconnect, Publish, SubscribeRequest, Unsuback, Unsubscribe
from broker.native.properties import Properties
from broker.topics import matches
from tests.broker.native.peer import V5, Peer, served

CLIENTS = ["one", "two", "three"]
FILTERS = ["#", "a/+", "a/b", "+/c"]
TOPICS = ["a/b", "a/c", "b"]
LASTS = Properties(session_expiry_interval_s=3600)

client_ids = st.sampled_from(CLIENTS)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("connect"), client_ids, st.booleans(), st.booleans()),
        st.tuples(st.just("leave"), client_ids),
        st.tuples(st.just("kill"), client_ids),
        st.tuples(st.just("subscribe"), client_ids, st.sampled_from(FILTERS), st.sampled_from(QoS)),
        st.tuples(st.just("unsubscribe"), client_ids, st.sampled_from(FILTERS)),
        st.tuples(
            st.just("publish"),
            st.sampled_from(TOPICS),
            st.sampled_from(QoS),
            st.booleans(),
            st.sampled_from([b"x", b"x", b""]),
        ),
    ),
    max_size=30,
)


@dataclass
class Session:
    lasts: bool
    filters: dict[str, QoS] = field(default_factory=dict)
    owed: list[tuple[str, bytes, QoS, bool]] = field(default_factory=list)


class Model:
    """What MQTT promises, in a few lines."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.present: set[str] = set()
        self.retained: dict[str, tuple[bytes, QoS]] = {}

    def connect(self, client_id: str, clean: bool, lasts: bool) -> bool:
        if client_id in self.present:
            self.gone(client_id)
        if clean:
            self.sessions.pop(client_id, None)
        found = client_id in self.sessions
        self.sessions.setdefault(client_id, Session(lasts)).lasts = lasts
        self.present.add(client_id)
        return found

    def gone(self, client_id: str) -> None:
        self.present.discard(client_id)
        if not self.sessions[client_id].lasts:
            del self.sessions[client_id]

    def subscribe(self, client_id: str, topic_filter: str, qos: QoS) -> None:
        session = self.sessions[client_id]
        session.filters[topic_filter] = qos
        for topic, (payload, published) in self.retained.items():
            if matches(topic_filter, topic):
                session.owed.append((topic, payload, min(qos, published), True))

    def publish(self, topic: str, payload: bytes, qos: QoS, retain: bool) -> None:
        if retain and payload:
            self.retained[topic] = (payload, qos)
        elif retain:
            self.retained.pop(topic, None)
        for client_id, session in self.sessions.items():
            granted = [q for f, q in session.filters.items() if matches(f, topic)]
            if granted:
                given = min(qos, max(granted))
                if given or client_id in self.present:
                    session.owed.append((topic, payload, given, False))


async def run(steps: list[tuple[object, ...]]) -> None:
    model, peers = Model(), dict[str, Peer]()
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(served())
        publisher = await stack.enter_async_context(broker.peer("publisher"))
        for number, step in enumerate(steps):
            match step:
                case ("connect", str(name), bool(clean), bool(lasts)):
                    found = model.connect(name, clean, lasts)
                    peers[name] = await stack.enter_async_context(
                        broker.peer(
                            name, V5, clean_start=clean, properties=LASTS if lasts else Properties()
                        )
                    )
                    assert peers[name].connack.session_present is found
                case ("leave", str(name)) if name in peers:
                    await peers.pop(name).leave(Disconnect())
                    model.gone(name)
                case ("kill", str(name)) if name in peers:
                    clients = broker.core.census().clients
                    peers.pop(name).vanish()
                    while broker.core.census().clients == clients:
                        await publisher.settled()
                    model.gone(name)
                case ("subscribe", str(name), str(topic_filter), QoS() as qos) if name in peers:
                    await peers[name].subscribe(SubscribeRequest(topic_filter, qos))
                    model.subscribe(name, topic_filter, qos)
                case ("unsubscribe", str(name), str(topic_filter)) if name in peers:
                    peers[name].send(Unsubscribe(1, (topic_filter,)))
                    await peers[name].expect(Unsuback)
                    model.sessions[name].filters.pop(topic_filter, None)
                case ("publish", str(topic), QoS() as qos, bool(retain), bytes(start)):
                    payload = start and b"%d" % number
                    await publisher.publish(topic, payload, qos, retain=retain)
                    model.publish(topic, payload, qos, retain)
                case _:
                    continue
            for name, peer in peers.items():
                await compare(peer, model.sessions[name])


async def compare(peer: Peer, session: Session) -> None:
    owed, session.owed = session.owed, []
    got = [_told(message) for message in await peer.messages()]
    assert sorted(got) == sorted(owed)
    live = [each for each in got if not each[3]]
    assert live == [each for each in owed if not each[3]], "in their order"


def _told(message: Publish) -> tuple[str, bytes, QoS, bool]:
    return message.topic, message.payload, message.qos, message.retain


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(operations)
def test_whatever_clients_do_each_gets_what_mqtt_promises(steps: list[tuple[object, ...]]) -> None:
    asyncio.run(run(steps))
