"""The link against real brokers: mosquitto, amqtt, and servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from amqtt.broker import Broker
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_web_socket
from websockets.typing import Subprotocol

from broker import paho_connection
from broker.errors import LinkAwayError, LinkError, LinkFullError, TopicError
from broker.link import (
    QUEUE_MESSAGES,
    Endpoint,
    Link,
    LinkTls,
    Message,
    QoS,
    Subscription,
    connect,
)
from broker.link_socket import LinkSocket
from broker.paho_link import PahoLink
from tests.broker.relay import relay
from tests.real_ends import (
    DEADLINE_S,
    Mosquitto,
    free_port,
    is_listening,
    mosquitto,
    program,
    until,
    wait_until,
)

EVERYTHING = [Subscription("#", QoS.AT_LEAST_ONCE)]
VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
NO_QUEUE_BOUND = "max_queued_messages 0"


class Witness:
    """Writes down what a link tells."""

    def __init__(self) -> None:
        self.story: list[str] = []
        self.messages: list[Message] = []
        self.reasons: list[str] = []
        self.ups = 0
        self.on_up: Callable[[], None] = lambda: None

    def link_up(self) -> None:
        self.ups += 1
        self.on_up()

    def link_down(self, reason: str) -> None:
        self.reasons.append(reason)

    def receive(self, messages: Sequence[Message]) -> None:
        self.messages += messages

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]


@contextlib.asynccontextmanager
async def up(
    endpoint: Endpoint | str,
    witness: Witness | None = None,
    subscriptions: Sequence[Subscription] = (),
    will: Message | None = None,
) -> AsyncIterator[Link]:
    """A link that is connected."""
    if isinstance(endpoint, str):
        endpoint = Endpoint(endpoint)
    witness = witness or Witness()
    async with connect(
        endpoint, witness, role="test", subscriptions=subscriptions, will=will
    ) as link:
        await until(lambda: link.is_up, "the link is up")
        yield link


async def reason_of(endpoint: Endpoint) -> str:
    """Why a link can't connect."""
    witness = Witness()
    async with connect(endpoint, witness, role="test", subscriptions=[]) as link:
        await until(lambda: witness.reasons, "the link says that it is down")
        assert not link.is_up
        assert link.reason == witness.reasons[0]
        return link.reason


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path, NO_QUEUE_BOUND) as running:
        yield running


def at_least_once(topic: str, payload: bytes | str, *, retain: bool = False) -> Message:
    data = payload.encode() if isinstance(payload, str) else payload
    return Message(topic, data, QoS.AT_LEAST_ONCE, retain)


# being up


@VERSIONS
@pytest.mark.parametrize("qos", QoS)
async def test_what_link_up_publishes_with_the_subscription_s_qos_arrives_behind_what_is_retained(
    broker: Mosquitto, version: str, qos: QoS
) -> None:
    """Mosquitto has 20 of QoS 1 in flight at once, and one of QoS 0 overtakes all others."""
    async with up(broker.url) as link:
        for number in range(200):
            link.publish(Message(f"plant/{number}", b"old", QoS.EXACTLY_ONCE, retain=True))
        await until(lambda: not link.waiting, "the broker has all retained messages")
    witness = Witness()
    endpoint = Endpoint(broker.url, version=version)
    async with connect(
        endpoint, witness, role="test", subscriptions=[Subscription("#", qos)]
    ) as link:
        witness.on_up = lambda: link.publish(Message("sentinel", b"here", qos))
        await until(lambda: b"here" in witness.payloads, "the sentinel comes back")
    assert len(witness.messages) == 201
    assert witness.messages[-1] == Message("sentinel", b"here", qos)
    assert all(message.retain for message in witness.messages[:-1])


@pytest.mark.parametrize(("version", "kept"), [("5", True), ("3.1.1", False)])
async def test_mqtt_5_tells_of_a_live_message_that_it_was_published_as_retained(
    broker: Mosquitto, version: str, kept: bool
) -> None:
    witness = Witness()
    async with up(Endpoint(broker.url, version=version), witness, EVERYTHING) as link:
        link.publish(at_least_once("a", b"1", retain=True))
        link.publish(at_least_once("a", b"2"))
        await until(lambda: len(witness.messages) == 2, "both messages come back")
    assert [message.retain for message in witness.messages] == [kept, False]


@VERSIONS
async def test_messages_keep_their_order_content_and_qos(broker: Mosquitto, version: str) -> None:
    witness = Witness()
    sent = [
        Message(f"a/{number % 7}/ä", bytes(range(number % 256)), QoS(number % 3))
        for number in range(600)
    ]
    everything = [Subscription("#", QoS.EXACTLY_ONCE)]
    async with up(Endpoint(broker.url, version=version), witness, everything) as link:
        for message in sent:
            link.publish(message)
        await until(lambda: len(witness.messages) >= len(sent), "all messages come back")
        await until(lambda: not link.waiting, "all messages are acknowledged")
    for qos in QoS:  # MQTT promises the order within a QoS
        assert [m for m in witness.messages if m.qos is qos] == [m for m in sent if m.qos is qos]


async def test_a_burst_longer_than_one_slice_is_received_whole() -> None:
    """From one read: what is left of it in our own buffer no socket event announces."""
    burst = b"".join(b"\x30\x05\0\x01a\0" + bytes([65 + n % 26]) for n in range(3_000))

    def answer(data: bytes) -> bytes | None:
        if data[0] == CONNECT:
            return CONNACK_5
        return b"\x90\x04" + data[2:4] + b"\0\0" + burst if data[0] == SUBSCRIBE else None

    witness = Witness()
    async with server(answer) as url, up(url, witness, [Subscription("a")]):
        await until(lambda: len(witness.messages) == 3_000, "the whole burst is received")


async def test_large_messages_published_in_link_up_all_arrive(broker: Mosquitto) -> None:
    witness, watcher = Witness(), Witness()
    async with (
        up(broker.url, watcher, EVERYTHING),
        connect(Endpoint(broker.url), witness, role="test", subscriptions=[]) as link,
    ):

        def publish_all() -> None:
            for number in range(150):
                link.publish(at_least_once(f"{number}", bytes(70_000)))

        witness.on_up = publish_all
        await until(lambda: len(watcher.messages) == 150, "all large messages arrive")
        assert [message.topic for message in watcher.messages] == [str(n) for n in range(150)]


async def test_a_topic_with_a_wildcard_is_refused(broker: Mosquitto) -> None:
    async with up(broker.url) as link:
        for qos in QoS:
            with pytest.raises(TopicError, match="wildcard"):
                link.publish(Message("a/#", b"", qos))
        assert link.waiting == 0


async def test_a_subscription_or_will_that_no_broker_takes_is_refused_at_once() -> None:
    endpoint = Endpoint("mqtt://127.0.0.1:1")
    with pytest.raises(TopicError):
        connect(endpoint, Witness(), role="test", subscriptions=[Subscription("a#")])
    with pytest.raises(TopicError):
        connect(endpoint, Witness(), role="test", subscriptions=[], will=Message("+", b""))


async def test_a_fault_in_receive_is_shown_and_the_link_goes_on(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[object] = []
    monkeypatch.setattr(
        asyncio.get_running_loop(),
        "call_exception_handler",
        lambda context: shown.append(context["exception"]),
        raising=True,
    )
    witness = Witness()
    faults = [RuntimeError("a fault")]

    def receive(messages: Sequence[Message]) -> None:
        if faults:
            raise faults.pop()
        witness.messages += messages

    witness.receive = receive  # type: ignore[method-assign]  # a witness that stumbles once
    async with up(broker.url, witness, EVERYTHING) as link:
        link.publish(at_least_once("a", b"1"))
        await until(lambda: shown, "the fault reaches the loop")
        link.publish(at_least_once("a", b"2"))
        await until(lambda: witness.payloads == [b"2"], "the next message is received")
    assert str(shown) == "[RuntimeError('a fault')]"
    assert witness.reasons == []


def test_a_link_runs_on_uvloop(broker: Mosquitto) -> None:
    witness = Witness()

    async def there_and_back() -> None:
        async with up(broker.url, witness, EVERYTHING) as link:
            for number in range(500):
                link.publish(at_least_once("a", str(number)))
            await until(lambda: len(witness.messages) == 500, "all messages come back")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(there_and_back())
    assert witness.payloads == [str(number).encode() for number in range(500)]


# outages


@VERSIONS
async def test_accepted_messages_survive_a_broker_that_is_killed_under_load(
    broker: Mosquitto, version: str
) -> None:
    publisher, watcher = Witness(), Witness()
    numbers = iter(range(1_000_000))
    accepted: list[bytes] = []
    async with (
        relay(broker.port) as way,
        up(broker.url, watcher, EVERYTHING),
        up(Endpoint(way.url, version=version), publisher) as link,
    ):

        def publish(count: int) -> None:
            for _ in range(count):
                payload = str(next(numbers)).encode()
                link.publish(at_least_once("load", payload))
                accepted.append(payload)

        for _ in range(20):
            publish(50)
            await asyncio.sleep(0)
        await until(lambda: len(watcher.messages) > 100, "the load flows")
        publish(500)
        broker.kill()
        await until(lambda: not link.is_up, "the link notices")
        publish(500)
        owed = accepted[-link.waiting :]
        assert len(owed) >= 500
        await way.close()  # the watcher is to be back before the publisher
        broker.start()
        await until(lambda: watcher.ups == 2, "the watcher is back")
        seen = len(watcher.messages)
        await way.open()
        await until(lambda: link.is_up and not link.waiting, "all is acknowledged")
        await until(lambda: owed[-1] in watcher.payloads, "the last one arrives")
        assert list(dict.fromkeys(watcher.payloads[seen:])) == owed
    assert len(publisher.reasons) == 1


@VERSIONS
@pytest.mark.parametrize("qos", [QoS.AT_LEAST_ONCE, QoS.EXACTLY_ONCE])
async def test_nothing_accepted_is_lost_or_overtaken_when_connections_break(
    broker: Mosquitto, version: str, qos: QoS
) -> None:
    publisher, watcher = Witness(), Witness()
    sent = [str(number).encode() for number in range(3_000)]
    async with (
        relay(broker.port) as way,
        up(broker.url, watcher, EVERYTHING),
        up(Endpoint(way.url, version=version), publisher) as link,
    ):
        for place, payload in enumerate(sent):
            link.publish(Message("load", payload, qos))
            if place % 20 == 0:
                await asyncio.sleep(0)
            if place % 1000 == 300:  # in the middle of the flow
                way.cut()
                await until(lambda: not link.is_up, "the link notices")
            if place % 1000 == 600:
                await until(lambda: link.is_up, "the link is back")
        await until(lambda: link.is_up and not link.waiting, "all is acknowledged")
        await until(lambda: watcher.payloads[-1] == sent[-1], "the last one arrives")
    assert len(publisher.reasons) == 3
    # Sent again after a cut, and in order: so each seen for the first time is the next one.
    assert list(dict.fromkeys(watcher.payloads)) == sent
    assert len(watcher.payloads) <= len(sent) + 3 * 100, "at most the window, at each cut"


async def test_what_waited_goes_before_what_link_up_publishes(broker: Mosquitto) -> None:
    """Else a retained state would be overwritten by an older one."""
    watcher, witness = Witness(), Witness()
    async with (
        up(broker.url, watcher, EVERYTHING),
        connect(Endpoint(broker.url), witness, role="test", subscriptions=[]) as link,
    ):
        witness.on_up = lambda: link.publish(at_least_once("state", b"new"))
        for _ in range(50):
            link.publish(at_least_once("state", b"old"))
        await until(lambda: len(watcher.messages) == 51, "all messages arrive")
    assert watcher.payloads == [b"old"] * 50 + [b"new"]


async def test_a_connection_that_the_broker_ends_is_told_with_its_words() -> None:
    def answer(data: bytes) -> bytes:
        return CONNACK_5 if data[0] == CONNECT else b"\xe0\x01\x8b"

    witness = Witness()
    async with (
        server(answer) as url,
        connect(Endpoint(url), witness, role="test", subscriptions=EVERYTHING),
    ):
        await until(lambda: witness.reasons, "the link is thrown out")
    assert witness.reasons[0] == f"{url} ended the connection: Server shutting down"


@pytest.mark.parametrize(
    "junk",
    [
        b"\0\0",  # no packet type
        b"\x30\x01\0",  # a PUBLISH that ends in its topic
        b"\x30\x04\0\x01\xff\0",  # a topic that is no UTF-8
        b"\x30\x06\0\x01a\x02\x7e\0",  # an unknown property
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x36\x06\0\x01a\0\x01\0",  # QoS 3
        b"\x20\x01\0",  # half a CONNACK
        b"\x90\x03\0\x01\0\xf0",  # a SUBACK with a code that there isn't
    ],
    ids=bytes.hex,
)
@VERSIONS
async def test_a_broker_that_sends_junk_is_left_and_tried_again(version: str, junk: bytes) -> None:
    is_mad = True

    def answer(data: bytes) -> bytes | None:
        if data[0] == CONNECT:
            return CONNACK_5 if version_of(data) == 5 else CONNACK_3
        return junk + b"\0" * 300 if is_mad else b""

    witness = Witness()
    async with server(answer) as url:
        endpoint = Endpoint(url, version=version)
        async with connect(endpoint, witness, role="test", subscriptions=EVERYTHING) as link:
            await until(lambda: witness.reasons, "the link leaves")
            is_mad = False
            await until(lambda: link.is_up, "the link is back")
            await until(lambda: witness.ups > 1, "the link says so")


async def test_subscriptions_come_back_after_an_outage(broker: Mosquitto) -> None:
    witness = Witness()
    async with up(broker.url, witness, EVERYTHING) as link:
        broker.kill()
        await until(lambda: witness.reasons, "the link notices")
        assert witness.reasons == [f"{broker.url} closed the connection"]
        broker.start()
        await until(lambda: witness.ups == 2, "the link is back")
        assert link.reason == ""
        link.publish(Message("a", b"again"))
        await until(lambda: b"again" in witness.payloads, "the message comes back")


async def test_a_message_that_does_not_wait_is_refused_while_the_broker_is_away() -> None:
    endpoint = Endpoint(f"mqtt://127.0.0.1:{free_port()}")
    async with connect(endpoint, Witness(), role="test", subscriptions=[]) as link:
        with pytest.raises(LinkAwayError, match="not connected yet; a message of QoS 0"):
            link.publish(Message("a", b"1"))
        await until(lambda: "nothing listens" in link.reason, "the link knows why")
        with pytest.raises(LinkAwayError, match="nothing listens there"):
            link.publish(Message("a", b"1"))
        assert link.waiting == 0


async def test_a_full_queue_refuses_and_recovers_when_the_broker_comes(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        broker.kill()
        async with connect(Endpoint(broker.url), Witness(), role="test", subscriptions=[]) as link:
            for number in range(QUEUE_MESSAGES):
                link.publish(at_least_once("a", str(number)))
            with pytest.raises(LinkFullError, match="10000 messages"):
                link.publish(at_least_once("a", b"one too many"))
            assert link.waiting == QUEUE_MESSAGES
            broker.start()
            await until(lambda: not link.waiting, "the queue empties")
            link.publish(at_least_once("a", b"welcome again"))


async def test_messages_with_too_many_bytes_are_refused() -> None:
    endpoint = Endpoint(f"mqtt://127.0.0.1:{free_port()}")
    async with connect(endpoint, Witness(), role="test", subscriptions=[]) as link:
        with pytest.raises(LinkFullError, match="never fits"):
            link.publish(at_least_once("a", bytes(17 * 1024 * 1024)))
        link.publish(at_least_once("a", bytes(9 * 1024 * 1024)))
        with pytest.raises(LinkFullError, match="try again later"):
            link.publish(at_least_once("a", bytes(9 * 1024 * 1024)))
        assert link.waiting == 1


class FreezableMosquitto(Mosquitto):
    """A broker that can hang, as one on a dying disk does."""

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture
def freezable(tmp_path: Path) -> Iterator[FreezableMosquitto]:
    running = FreezableMosquitto(tmp_path)
    running.start()
    try:
        yield running
    finally:
        running.kill()


async def test_a_frozen_broker_is_noticed_and_met_again(freezable: FreezableMosquitto) -> None:
    witness = Witness()
    link = PahoLink(
        Endpoint(freezable.url), witness, role="test", subscriptions=EVERYTHING, keep_alive_s=1
    )
    async with link.running():
        await until(lambda: link.is_up, "the link is up")
        freezable.freeze()
        link.publish(at_least_once("a", b"kept"))
        await until(lambda: witness.reasons, "the link notices")
        assert "stopped answering" in link.reason
        freezable.thaw()
        await until(lambda: b"kept" in witness.payloads, "the message arrives")
        assert witness.ups == 2


async def test_a_broker_that_does_not_read_bounds_even_what_does_not_wait(
    freezable: FreezableMosquitto,
) -> None:
    async with up(freezable.url) as link:
        freezable.freeze()
        refusal = ""

        def is_accepted() -> bool:
            nonlocal refusal
            try:
                link.publish(Message("a", bytes(65_536)))
            except LinkFullError as error:
                refusal = str(error)
                return False
            return True

        for _ in range(1000):
            if not is_accepted():
                break
        assert "too slow, or frozen" in refusal
        freezable.thaw()
        await until(is_accepted, "the link accepts again")
        assert link.is_up


# leaving


async def test_the_will_is_published_when_the_connection_dies_and_not_when_it_is_left(
    broker: Mosquitto,
) -> None:
    will = at_least_once("state", b"offline", retain=True)
    watcher = Witness()
    async with up(broker.url, watcher, EVERYTHING) as control:
        async with up(broker.url, will=will):
            pass
        control.publish(at_least_once("left", b""))
        async with relay(broker.port) as way, up(way.url, will=will):
            way.cut()
            await until(lambda: b"offline" in watcher.payloads, "the will is published")
    assert [message.topic for message in watcher.messages][:2] == ["left", "state"]


async def test_leaving_in_the_middle_of_a_flood_still_says_goodbye(broker: Mosquitto) -> None:
    will = at_least_once("state", b"offline")
    watcher = Witness()
    async with (
        up(broker.url, watcher, [Subscription("state"), Subscription("left")]),
        up(broker.url) as flood,
    ):
        async with up(broker.url, subscriptions=[Subscription("flood")], will=will):
            for _ in range(3000):
                flood.publish(Message("flood", bytes(1000)))
            await asyncio.sleep(0.01)
        flood.publish(at_least_once("left", b""))
        await until(lambda: watcher.messages, "the marker arrives")
        assert [message.topic for message in watcher.messages] == ["left"]


async def test_leaving_sends_what_waits(broker: Mosquitto) -> None:
    watcher = Witness()
    async with up(broker.url, watcher, EVERYTHING):
        async with connect(Endpoint(broker.url), Witness(), role="test", subscriptions=[]) as link:
            for number in range(300):  # before it is even connected
                link.publish(at_least_once("a", str(number)))
        assert link.waiting == 0
        async with up(broker.url) as link:
            for number in range(300):
                link.publish(Message("b", str(number).encode()))
        await until(lambda: len(watcher.messages) >= 600, "all messages arrive")


async def test_leaving_without_a_broker_is_bounded_and_says_what_was_not_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    endpoint = Endpoint(f"mqtt://127.0.0.1:{free_port()}")
    async with connect(endpoint, Witness(), role="test", subscriptions=[]) as link:
        link.publish(at_least_once("a", b""))
    assert "left with 1 messages that the broker has not acknowledged" in caplog.text


def test_whoever_ends_the_program_does_not_wait_for_a_connection_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a name server doesn't answer, for which the system waits as long as it likes."""
    has_begun, may_end = threading.Event(), threading.Event()

    def hang(_endpoint: Endpoint) -> LinkSocket:
        has_begun.set()
        may_end.wait()
        raise LinkError("given up")

    monkeypatch.setattr("broker.paho_link.open_socket", hang)

    async def main() -> None:
        async with connect(Endpoint("mqtt://slow"), Witness(), role="test", subscriptions=[]):
            await until(has_begun.is_set, "it is being opened")

    running = threading.Thread(target=lambda: asyncio.run(main()))
    running.start()
    try:
        running.join(DEADLINE_S)
        assert not running.is_alive()
    finally:
        may_end.set()
        running.join()


async def test_nothing_is_left_running(broker: Mosquitto) -> None:
    await asyncio.to_thread(lambda: None)  # the loop's own thread
    tasks = asyncio.all_tasks()
    async with up(broker.url, subscriptions=EVERYTHING):
        threads = {thread.name for thread in threading.enumerate()}
    async with connect(  # left while it is being opened
        Endpoint(broker.url), Witness(), role="test", subscriptions=[]
    ):
        pass
    assert asyncio.all_tasks() == tasks
    assert not [name for name in threads if "paho" in name]
    gc.collect()  # a socket that was not closed would warn, and fail


# logins, TLS, WebSocket


def password_file(folder: Path) -> Path:
    users = folder / "users"
    subprocess.run([program("mosquitto_passwd"), "-b", "-c", users, "ha", "right"], check=True)
    return users


@VERSIONS
async def test_a_wrong_password_is_named_as_such_and_the_right_one_works(
    tmp_path: Path, version: str
) -> None:
    users = password_file(tmp_path)
    with mosquitto(tmp_path, "user root", "allow_anonymous false", f"password_file {users}") as it:
        login = Endpoint(it.url, username="ha", password="right", version=version)
        async with up(login):
            pass
        assert "refuses our user name or password" in await reason_of(
            replace(login, password="wrong")
        )
        assert "wants a user name and a password" in await reason_of(
            Endpoint(it.url, version=version)
        )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA of our own and a certificate for 127.0.0.1 from it."""
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "extra").write_text("subjectAltName=IP:127.0.0.1\n")

    def openssl(*arguments: str) -> None:
        subprocess.run(
            [program("openssl"), *arguments], cwd=folder, check=True, capture_output=True
        )

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Our CA")
    openssl("req", *new_key, "-keyout", "key.pem", "-out", "request", "-subj", "/CN=broker")
    openssl(
        *("x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-CAcreateserial", "-out", "cert.pem", "-extfile", "extra"),
    )
    return folder


def tls_lines(certificates: Path) -> list[str]:
    files = ("cafile", "ca.pem"), ("certfile", "cert.pem"), ("keyfile", "key.pem")
    return ["user root", *(f"{key} {certificates / name}" for key, name in files)]


SLOW = 20_000
"""Mosquitto 2.0.11 sends 4 kB of a larger WebSocket frame each 100 ms."""


@contextlib.contextmanager
def web_socket_broker(folder: Path, *extra_lines: str) -> Iterator[int]:
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", "protocol websockets", *extra_lines]
    with mosquitto(folder, NO_QUEUE_BOUND, *lines):
        wait_until(lambda: is_listening(port), "mosquitto listens for WebSocket")
        yield port


async def passes_all_traffic(endpoint: Endpoint, largest: int = 300_000) -> None:
    """Messages of many sizes, in bursts, there and back."""
    witness = Witness()
    sizes = [0, 1, 125, 126, largest, *[20] * 500]
    async with up(endpoint, witness, EVERYTHING) as link:
        for place, size in enumerate(sizes):
            link.publish(at_least_once(str(place), bytes([place % 256]) * size))
        await until(lambda: len(witness.messages) == len(sizes), "all messages come back")
        assert witness.payloads == [bytes([n % 256]) * size for n, size in enumerate(sizes)]
    assert witness.reasons == []


async def test_a_link_speaks_tls_with_a_broker_whose_ca_is_named(
    tmp_path: Path, certificates: Path
) -> None:
    with mosquitto(tmp_path, *tls_lines(certificates), "require_certificate true") as broker:
        url = f"mqtts://127.0.0.1:{broker.port}"
        ca_file, cert_file, key_file = (
            str(certificates / name) for name in ("ca.pem", "cert.pem", "key.pem")
        )
        await passes_all_traffic(Endpoint(url, tls=LinkTls(ca_file, cert_file, key_file)))
        assert "certificate verify failed: self-signed certificate in certificate chain" in (
            await reason_of(Endpoint(url))
        )
        assert "missing.pem one can't be used: No such file" in (
            await reason_of(Endpoint(url, tls=LinkTls("missing.pem")))
        )
        assert "Hostname mismatch" in (
            await reason_of(Endpoint(url.replace("127.0.0.1", "localhost"), tls=LinkTls(ca_file)))
        )


async def test_a_link_knows_the_certificate_that_lies_here_by_whatever_name(
    tmp_path: Path, certificates: Path
) -> None:
    chain = tmp_path / "chain.pem"
    ours, ca = ((certificates / name).read_text() for name in ("cert.pem", "ca.pem"))
    chain.write_text(ours + ca)
    pinned = LinkTls(pinned_file=str(chain))
    with mosquitto(tmp_path, *tls_lines(certificates)) as broker:
        await passes_all_traffic(Endpoint(f"mqtts://localhost:{broker.port}", tls=pinned))
        url = f"mqtts://127.0.0.1:{broker.port}"
        chain.write_text("-----BEGIN CERTIFICATE-----")
        assert "chain.pem one can't be used: no start line" in await reason_of(
            Endpoint(url, tls=pinned)
        )
        chain.write_text(_another_certificate(certificates, tmp_path) + ca)
        assert f"doesn't show the certificate in {chain}" in (
            await reason_of(Endpoint(url, tls=pinned))
        )


def _another_certificate(certificates: Path, folder: Path) -> str:
    """One of the same CA, for the same key."""
    subprocess.run(
        [
            *(program("openssl"), "x509", "-req", "-in", "request", "-CA", "ca.pem"),
            *("-CAkey", "ca.key", "-CAcreateserial", "-out", folder / "other.pem"),
        ],
        cwd=certificates,
        check=True,
        capture_output=True,
    )
    return (folder / "other.pem").read_text()


async def test_a_link_speaks_mqtt_over_websocket(tmp_path: Path) -> None:
    with web_socket_broker(tmp_path) as port:
        await passes_all_traffic(Endpoint(f"ws://127.0.0.1:{port}/mqtt"), SLOW)
        await passes_all_traffic(Endpoint(f"ws://127.0.0.1:{port}", version="3.1.1"), SLOW)


async def test_a_ping_of_the_websocket_server_is_answered() -> None:
    pongs = 0

    async def serve(connection: ServerConnection) -> None:
        nonlocal pongs
        await connection.recv()
        await connection.send(CONNACK_5)
        await (await connection.ping())
        pongs += 1
        await connection.wait_closed()

    async with (
        serve_web_socket(serve, "127.0.0.1", 0, subprotocols=[Subprotocol("mqtt")]) as listening,
        up(f"ws://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}"),
    ):
        await until(lambda: pongs, "the pong arrives")


async def test_a_link_speaks_mqtt_over_websocket_with_tls(
    tmp_path: Path, certificates: Path
) -> None:
    with web_socket_broker(tmp_path, *tls_lines(certificates)) as port:
        tls = LinkTls(str(certificates / "ca.pem"))
        await passes_all_traffic(Endpoint(f"wss://127.0.0.1:{port}/", tls=tls), SLOW)


# reasons


async def test_the_reason_names_the_url_and_what_is_wrong(broker: Mosquitto) -> None:
    port = free_port()
    for url, sentence in {
        f"mqtt://127.0.0.1:{port}": "refuses the connection: nothing listens there",
        "mqtt://no-such-host.invalid": "can't be resolved",
        f"mqtts://127.0.0.1:{broker.port}": "closes the connection|TLS",
        f"ws://127.0.0.1:{broker.port}": "closes the connection|WebSocket",
    }.items():
        reason = await reason_of(Endpoint(url))
        assert reason.startswith(url)
        assert any(part in reason for part in sentence.split("|")), reason


Answer = Callable[[bytes], bytes | None]


@contextlib.asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    """A server that answers each read by a function; None closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if (reply := answer(data)) is None:
                    break
                writer.write(reply)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"mqtt://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    await listening.wait_closed()


CONNECT, SUBSCRIBE = 0x10, 0x82
CONNACK_3, CONNACK_5 = b"\x20\x02\0\0", b"\x20\x03\0\0\0"


def version_of(connect_packet: bytes) -> int:
    return connect_packet[connect_packet.index(b"MQTT") + 4]


async def test_a_web_server_in_the_broker_s_place_is_seen_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(_: bytes) -> bytes:
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    monkeypatch.setattr(paho_connection, "ANSWER_S", 0.1)
    async with server(answer) as url:
        assert "doesn't answer as an MQTT broker" in await reason_of(Endpoint(url))
        assert "answers HTTP 404" in await reason_of(Endpoint(url.replace("mqtt", "ws")))


async def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paho_connection, "ANSWER_S", 0.1)
    async with server(lambda _: b"") as url:
        assert "doesn't answer as an MQTT broker" in await reason_of(Endpoint(url))


async def test_an_outage_is_told_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    attempts = 0

    def answer(_: bytes) -> None:
        nonlocal attempts
        attempts += 1

    witness = Witness()
    async with (
        server(answer) as url,
        connect(Endpoint(url), witness, role="test", subscriptions=[]),
    ):
        await until(lambda: attempts >= 6, "several attempts are made")
    assert len(witness.reasons) == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


# versions


@pytest.mark.parametrize(
    "refusal", [None, b"\x20\x03\0\x84\0", b"\x20\x02\0\x01"], ids=["closes", "0x84", "code 1"]
)
async def test_mqtt_3_1_1_is_spoken_where_5_is_refused(refusal: bytes | None) -> None:
    tried: list[int] = []

    def answer(data: bytes) -> bytes | None:
        if data[0] != CONNECT:
            return b""
        tried.append(version_of(data))
        return refusal if tried[-1] == 5 else CONNACK_3

    witness = Witness()
    async with server(answer) as url, up(url, witness):
        assert tried == [5, 4]
        assert witness.reasons == []


async def test_a_version_that_works_is_kept_until_a_connect_fails() -> None:
    tried: list[int] = []
    understood = {4}

    def answer(data: bytes) -> bytes | None:
        if data[0] != CONNECT:
            return None  # a ping, a DISCONNECT, a message: the end
        tried.append(version_of(data))
        return CONNACK_3 if tried[-1] in understood else None

    witness = Witness()
    async with server(answer) as url, up(url, witness) as link:
        link.publish(Message("end", b""))
        await until(lambda: witness.ups == 2, "the link is back")
        assert tried == [5, 4, 4]
        understood.clear()
        link.publish(Message("end", b""))
        await until(lambda: len(tried) >= 6, "more attempts are made")
        assert tried[:6] == [5, 4, 4, 4, 5, 4]


async def test_a_version_that_was_asked_for_is_not_changed() -> None:
    async with server(lambda _: b"\x20\x03\0\x84\0") as url:
        assert "doesn't speak MQTT 5: set version: auto" in (
            await reason_of(Endpoint(url, version="5"))
        )


async def test_a_link_meets_amqtt_which_speaks_3_1_1_only() -> None:
    port = free_port()
    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    engine = Broker(config)
    await engine.start()
    try:
        witness = Witness()
        async with up(f"mqtt://127.0.0.1:{port}", witness, EVERYTHING) as link:
            link.publish(at_least_once("a", b"1"))
            await until(lambda: witness.payloads == [b"1"], "the message comes back")
        assert witness.reasons == []
    finally:
        await engine.shutdown()


# what a broker refuses


async def test_a_refused_subscription_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def answer(data: bytes) -> bytes | None:
        if data[0] == CONNECT:
            return CONNACK_5
        if data[0] == SUBSCRIBE:
            return b"\x90\x05" + data[2:4] + b"\0\x00\x87"
        return None

    witness = Witness()
    subscriptions = [Subscription("open"), Subscription("secret")]
    async with server(answer) as url, up(url, witness, subscriptions) as link:
        await until(lambda: "secret" in caplog.text, "the refusal is logged")
        link.publish(Message("end", b""))
        await until(lambda: witness.ups == 2, "the link is back")
        await asyncio.sleep(0.05)
    lines = [record.getMessage() for record in caplog.records if "secret" in record.getMessage()]
    assert len(lines) == 1
    assert "refuses the subscription to secret: Not authorized; allow it" in lines[0]
    assert "open" not in caplog.text


async def test_a_message_that_the_broker_refuses_is_logged_and_not_sent_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite open\n")
    with mosquitto(tmp_path, "user root", f"acl_file {rules}") as broker:
        async with up(broker.url) as link:
            link.publish(at_least_once("open", b""))
            link.publish(at_least_once("secret", b""))
            await until(lambda: not link.waiting, "both are answered")
    assert "refuses a message to secret: Not authorized" in caplog.text
    assert "message to open" not in caplog.text


async def test_messages_are_sent_as_the_broker_can_take_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ["max_qos 1", "retain_available false", "max_packet_size 2000"]
    with mosquitto(tmp_path, *lines) as broker:
        witness = Witness()
        async with connect(
            Endpoint(broker.url), witness, role="test", subscriptions=EVERYTHING
        ) as link:
            link.publish(at_least_once("large", bytes(3000)))
            link.publish(Message("a", b"1", QoS.EXACTLY_ONCE, retain=True))
            await until(lambda: witness.messages and not link.waiting, "the message comes back")
            with pytest.raises(LinkFullError, match="takes no message of 3015 bytes"):
                link.publish(at_least_once("large", bytes(3000)))
    assert witness.messages == [at_least_once("a", b"1")]
    assert witness.reasons == []
    assert "takes no message of 3015 bytes, 2000 at most: one to large is lost" in caplog.text
