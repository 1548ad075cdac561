"""The faults of amqtt 0.12.1, each held by a test that passes while the fault is there.

A test that goes red here is good news: upstream has mended that fault. Then look at the change,
delete the test, and ask what the mended fault forbade: once rules hold and no acknowledged
message is lost, `check_engine` in broker/serving.py may allow more than loopback, and what
`broker/amqtt_engine.py` works around may go. The broker here is the stock one, on a socket of its
own, with a plug-in that admits people and none that filters topics, unless a test says otherwise.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import requires
from typing import Any

import pytest
from amqtt.broker import Broker
from amqtt.contexts import Action, BrokerConfig, ListenerConfig
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

from tests.mqtt_packets import (
    CONNACK,
    DISCONNECT,
    PUBACK,
    Client,
    Packet,
    connect,
    connected,
    deaf_subscriber,
    opened,
    publish,
    subscribe,
)
from tests.real_ends import DEADLINE_S, free_port


class Password(BaseAuthPlugin):
    """Admits everybody but a user with a wrong password."""

    async def authenticate(self, *, session: Session) -> bool:
        return session.username is None or session.password == "right"


class Rules(BaseTopicPlugin):
    """Nobody publishes `secret`, nobody receives `hidden`; it takes a turn of the loop to say so,
    as any look-up would."""

    async def topic_filtering(
        self,
        *,
        session: Session | None = None,
        topic: str | None = None,
        action: Action | None = None,
    ) -> bool:
        del session
        await asyncio.sleep(0)
        return (action, topic) not in ((Action.PUBLISH, "secret"), (Action.RECEIVE, "hidden"))


def _path(plugin: type) -> str:
    return f"{plugin.__module__}.{plugin.__qualname__}"


NO_RULES: Mapping[str, Any] = {_path(Password): {}}
WITH_RULES: Mapping[str, Any] = {_path(Password): {}, _path(Rules): {}}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """amqtt logs its faults at length, message by message."""
    amqtt = logging.getLogger("amqtt")
    before = amqtt.level
    amqtt.setLevel(logging.CRITICAL + 1)
    yield
    amqtt.setLevel(before)


HANGS = sys.version_info >= (3, 12)


class StockBroker(Broker):
    """amqtt's own broker; only that what it forgets to close can be closed for it at the end."""

    def __init__(self, port: int, plugins: Mapping[str, Any] = NO_RULES) -> None:
        listener = ListenerConfig(bind=f"127.0.0.1:{port}")
        super().__init__(BrokerConfig(listeners={"default": listener}, plugins=dict(plugins)))
        self._accepted: list[asyncio.StreamWriter] = []

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        self._accepted.append(writer)
        await super().stream_connected(reader, writer, listener_name)

    async def close_forgotten(self) -> None:
        for writer in self._accepted:
            writer.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def stock(plugins: Mapping[str, Any] = NO_RULES) -> AsyncIterator[int]:
    """A stock amqtt broker; its port. All clients must have left before its end."""
    port = free_port()
    broker = StockBroker(port, plugins)
    await broker.start()
    try:
        yield port
    finally:
        await broker.shutdown()
        await broker.close_forgotten()


@asynccontextmanager
async def unheard_errors() -> AsyncIterator[list[Exception]]:
    """The exceptions of tasks that nobody looked at, which the loop would report."""
    errors: list[Exception] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, context: errors.append(context["exception"]))
    try:
        yield errors
        gc.collect()
    finally:
        loop.set_exception_handler(before)


async def settle(client: Client) -> list[Packet]:
    """What a client gets until the broker has worked off all that came before this call.

    Its broadcast queue is in order, but an answer overtakes it: so a message of our own first.
    """
    got = (await client.subscribe("settle"))[:-1]
    await client.send(publish("settle"))
    got += (await client.read_until_topic("settle"))[:-1]
    return got + await client.ping()


async def test_with_a_topic_plug_in_acknowledged_messages_are_lost_when_the_publisher_leaves() -> (
    None
):
    async with stock(WITH_RULES) as port, connected(port, "watcher") as watcher:
        await watcher.subscribe("a")
        async with connected(port, "publisher") as publisher:
            await publisher.send(*[publish("a", packet_id=i) for i in range(1, 201)])
            for _ in range(200):
                assert (await publisher.read()).type == PUBACK
            await publisher.send(DISCONNECT)
            with pytest.raises(EOFError):
                await publisher.read()
        arrived = await settle(watcher)
        assert len(arrived) < 200


async def test_with_a_topic_plug_in_messages_are_lost_while_others_subscribe() -> None:
    async with (
        stock(WITH_RULES) as port,
        connected(port, "other") as other,
        connected(port, "watcher") as watcher,
        connected(port, "publisher") as publisher,
    ):
        await other.subscribe("+")  # whose rule is looked up before the watcher's turn
        await watcher.subscribe("a")
        async with unheard_errors() as errors:
            for i in range(1, 101):
                await publisher.send(publish("a", packet_id=i))
                await other.send(subscribe(f"other/{i}", packet_id=i))
            acknowledged = [await publisher.read() for _ in range(100)]
            assert {packet.type for packet in acknowledged} == {PUBACK}
            await settle(publisher)
            assert len(await settle(watcher)) < 100
        assert {str(error) for error in errors} == {"dictionary changed size during iteration"}


async def test_without_one_acknowledged_messages_are_lost_too_when_keep_alive_is_off() -> None:
    # Up to Python 3.11 a keep-alive slows amqtt's reader down enough; from 3.12 on nothing does.
    async with stock() as port, connected(port, "watcher") as watcher:
        await watcher.subscribe("a")
        async with connected(port, "publisher", keep_alive_s=0) as publisher:
            await publisher.send(*[publish("a", packet_id=i) for i in range(1, 201)])
            for _ in range(200):
                assert (await publisher.read()).type == PUBACK
            await publisher.send(DISCONNECT)
            await publisher.read_until_closed()
        assert len(await settle(watcher)) < 200


async def test_of_a_burst_of_qos_0_messages_before_a_disconnect_most_are_lost() -> None:
    async with stock() as port, connected(port, "watcher") as watcher:
        await watcher.subscribe("a")
        async with connected(port, "publisher", keep_alive_s=0) as publisher:
            await publisher.send(publish("a") * 20_000, DISCONNECT)
            await publisher.read_until_closed()
        assert len(await settle(watcher)) < 10_000


async def test_a_newcomer_gets_retained_messages_that_only_others_subscribed_to() -> None:
    async with stock() as port, connected(port, "other") as other:
        await other.subscribe("private")
        await other.send(publish("private", b"1", retain=True))
        await other.read_until_topic("private")
        async with connected(port, "newcomer") as newcomer:
            (message,) = await newcomer.ping() or await newcomer.read_until_topic("private")
            assert (message.topic, message.payload) == ("private", b"1")


async def test_a_will_bypasses_the_rules() -> None:
    async with stock(WITH_RULES) as port, connected(port, "watcher") as watcher:
        await watcher.subscribe("secret")
        async with connected(port, "liar", will=("secret", b"will")) as liar:
            await liar.send(publish("secret", b"message"))
            await settle(liar)
            liar.vanish()
        (message,) = await watcher.read_until_topic("secret")
        assert message.payload == b"will"


async def test_a_retained_message_bypasses_the_rules() -> None:
    async with stock(WITH_RULES) as port, connected(port, "watcher") as watcher:
        async with connected(port, "publisher") as publisher:
            await publisher.send(publish("hidden", b"retained", retain=True))
            await settle(publisher)
            await watcher.subscribe("+")
            await publisher.send(publish("hidden", b"live"), publish("end"))
            messages = await watcher.read_until_topic("end")
        assert [message.payload for message in messages] == [b"retained", b""]


async def test_a_wrong_password_with_a_known_client_id_wipes_its_subscriptions() -> None:
    async with stock() as port, connected(port, "victim") as victim:
        await victim.subscribe("a")
        async with opened(port, connect("victim", login=("user", "wrong"))) as attacker:
            assert (await attacker.read()).body[1] == 5
        async with connected(port, "publisher") as publisher:
            await publisher.send(publish("a"))
            await settle(publisher)
        assert await victim.ping() == []


async def test_a_wrong_password_with_a_known_client_id_kicks_a_lasting_session() -> None:
    async with stock() as port, connected(port, "victim", clean=False) as victim:
        attack = connect("victim", clean=False, login=("user", "wrong"))
        async with opened(port, attack) as attacker:
            assert (await attacker.read()).body[1] == 5
        with pytest.raises(EOFError):
            await victim.read()


async def test_keep_alive_is_not_enforced() -> None:
    async with stock() as port, connected(port, "silent", keep_alive_s=1) as silent:
        await asyncio.sleep(2.5)  # 1.5 s are allowed [MQTT-3.1.2-24]
        assert await silent.ping() == []


async def test_a_client_that_takes_over_its_own_session_gets_nothing() -> None:
    async with stock() as port, connected(port, "me", clean=False) as before:
        await before.subscribe("a")
        async with opened(port, connect("me", clean=False)) as after:
            assert (await after.read()).body == b"\x01\x00", "the session is present"
            with pytest.raises(EOFError):
                await before.read()
            async with connected(port, "publisher") as publisher:
                await publisher.send(publish("a"))
                await settle(publisher)
            assert await after.ping() == []


async def test_one_publish_to_a_dollar_topic_mutes_a_client_for_good() -> None:
    async with stock() as port, connected(port, "watcher") as watcher:
        await watcher.subscribe("a")
        async with connected(port, "publisher") as publisher:
            await publisher.send(publish("$x"))
            assert await publisher.ping() == []
            await publisher.send(publish("a", packet_id=1))
            assert (await publisher.read()).type == PUBACK
            assert await settle(watcher) == []


async def test_behind_a_subscriber_that_does_not_read_messages_pile_up_without_a_bound() -> None:
    async with (
        stock() as port,
        connected(port, "publisher") as publisher,
        deaf_subscriber(port, "a"),
    ):
        await settle(publisher)
        await publisher.send(*[publish("a", bytes(64_000))] * 500)
        await settle(publisher)
        waiting = [task for task in asyncio.all_tasks() if "mqtt_publish" in repr(task)]
        assert len(waiting) > 300


async def test_qos_0_arrives_as_qos_1_at_a_qos_1_subscriber() -> None:
    async with stock() as port, connected(port, "client") as client:
        await client.subscribe("a", 1)
        await client.send(publish("a"))
        (message,) = await client.read_until_topic("a")
        assert message.qos == 1


async def test_a_second_subscribe_with_another_qos_is_ignored() -> None:
    async with stock() as port, connected(port, "client") as client:
        await client.subscribe("a", 0)
        assert (await client.subscribe("a", 1))[-1].body[2] == 1, "granted"
        await client.send(publish("a", packet_id=1))
        messages = await client.read_until_topic("a")
        assert messages[-1].qos == 0


async def test_a_shared_subscription_is_granted_but_dead() -> None:
    async with stock() as port, connected(port, "client") as client:
        assert (await client.subscribe("$share/group/a"))[-1].body[2] == 0, "granted"
        await client.send(publish("a"))
        assert await settle(client) == []


async def test_retained_messages_do_not_outlive_the_broker() -> None:
    port = free_port()
    broker = StockBroker(port)
    for _ in range(2):
        await broker.start()
        async with connected(port, "client") as client:
            assert len(await client.subscribe("a")) == 1, "the SUBACK alone"
            assert await client.ping() == []
            await client.send(publish("a", b"1", retain=True))
            await settle(client)
        await broker.shutdown()
    await broker.close_forgotten()


async def test_mqtt_5_is_refused() -> None:
    async with stock() as port, opened(port, connect("c", protocol=("MQTT", 5))) as client:
        refusal = await client.read()
        assert (refusal.type, refusal.body[1]) == (CONNACK, 1)


async def test_mqtt_3_1_is_refused_without_a_word() -> None:
    async with stock() as port, opened(port, connect("c", protocol=("MQIsdp", 3))) as client:
        with pytest.raises(EOFError):
            await client.read()


async def test_from_python_3_12_on_shutdown_hangs_while_a_connection_is_open() -> None:
    port = free_port()
    broker = StockBroker(port)
    await broker.start()
    async with opened(port):
        await asyncio.sleep(0.1)  # let it be accepted
        shutdown = asyncio.create_task(broker.shutdown())
        await asyncio.wait([shutdown], timeout=1 if HANGS else DEADLINE_S)
        assert shutdown.done() is not HANGS
    await broker.close_forgotten()
    await shutdown


def test_it_pins_one_version_of_websockets() -> None:
    assert "websockets==15.0.1" in (requires("amqtt") or [])
