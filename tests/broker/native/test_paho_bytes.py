"""What paho-mqtt really sends is read, and what we write it really understands."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from broker.link import QoS
from broker.native.encode import encode
from broker.native.packet import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscribeRequest,
    Unsuback,
    Unsubscribe,
    Version,
    Will,
)
from broker.native.properties import Properties
from broker.native.reason import Reason
from broker.native.stream import PacketStream
from tests.broker.native.packets import plain
from tests.real_ends import DEADLINE_S

P = TypeVar("P", bound=Packet)
paho_properties: Any = PahoProperties  # it has no annotations
PROTOCOLS = {Version.V31: paho.MQTTv31, Version.V311: paho.MQTTv311, Version.V5: paho.MQTTv5}


@dataclass
class Pair:
    """A paho client, and the other end of its connection."""

    client: paho.Client
    server: socket.socket
    version: Version
    stream: PacketStream
    seen: list[Any] = field(default_factory=list)

    def receive(self, kind: type[P]) -> P:
        """The next packet that paho sends, as it is on the wire."""
        while (packet := self.stream.next_packet()) is None:
            self.client.loop(timeout=0.01)
            try:
                self.stream.feed(self.server.recv(4096))
            except BlockingIOError:
                continue
        assert isinstance(packet, kind), packet
        found = plain(packet)
        assert isinstance(found, kind)
        return found

    def send(self, packet: Packet, until: Callable[[], bool]) -> None:
        """Send a packet to paho, which reads it until this is so."""
        self.server.sendall(encode(packet, self.version))
        while not until():
            assert self.client.loop(timeout=DEADLINE_S) == paho.MQTT_ERR_SUCCESS


@pytest.fixture(params=Version)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    version: Version = request.param
    client = paho.Client(CallbackAPIVersion.VERSION2, "me", protocol=PROTOCOLS[version])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client.username_pw_set("somebody", "secret")
        client.will_set("will", b"bye", qos=1, retain=True)
        client.connect("127.0.0.1", listener.getsockname()[1], keepalive=33)
        server, _ = listener.accept()
        server.setblocking(False)
        with server:
            stream = PacketStream(max_packet_bytes=10_000, sent_by="client")
            yield Pair(client, server, version, stream)
            client.disconnect()
            client.loop(timeout=0.01)


def test_paho_and_we_understand_each_other(pair: Pair) -> None:
    client, version, seen = pair.client, pair.version, pair.seen
    assert pair.receive(Connect) == Connect(
        version,
        "me",
        True,
        33,
        "somebody",
        b"secret",
        Will("will", b"bye", QoS.AT_LEAST_ONCE, True),
    )
    client.on_connect = lambda _c, _u, _flags, reason, _p: seen.append(str(reason))
    pair.send(Connack(), lambda: seen == ["Success"])

    seen.clear()
    client.on_subscribe = lambda _c, _u, mid, codes, _p: seen.append(
        (mid, [c.value for c in codes])
    )
    client.subscribe([("a/#", 1), ("b", 2)])
    subscribe = pair.receive(Subscribe)
    assert subscribe.requests == (
        SubscribeRequest("a/#", QoS.AT_LEAST_ONCE),
        SubscribeRequest("b", QoS.EXACTLY_ONCE),
    )
    pair.send(
        Suback(subscribe.packet_id, (Reason.GRANTED_QOS_1, Reason.UNSPECIFIED_ERROR)),
        lambda: seen == [(subscribe.packet_id, [1, 0x80])],
    )

    seen.clear()
    client.on_unsubscribe = lambda _c, _u, mid, _codes, _p: seen.append(mid)
    client.unsubscribe(["a/#"])
    unsubscribe = pair.receive(Unsubscribe)
    assert unsubscribe.filters == ("a/#",)
    unsuback = Unsuback(unsubscribe.packet_id, (Reason.SUCCESS,))
    pair.send(unsuback, lambda: seen == [unsubscribe.packet_id])

    seen.clear()
    client.on_message = lambda _c, _u, m: seen.append((m.topic, m.payload, m.qos, m.retain, m.mid))
    pair.send(Publish("a/b", b"0", retain=True), lambda: seen == [("a/b", b"0", 0, True, 0)])
    seen.clear()
    pair.send(
        Publish("a/b", b"1", QoS.AT_LEAST_ONCE, packet_id=9),
        lambda: seen == [("a/b", b"1", 1, False, 9)],
    )
    assert pair.receive(Puback) == Puback(9)
    seen.clear()
    pair.server.sendall(encode(Publish("é", b"2", QoS.EXACTLY_ONCE, packet_id=10), version))
    assert pair.receive(Pubrec) == Pubrec(10)
    pair.send(Pubrel(10), lambda: seen == [("é", b"2", 2, False, 10)])
    assert pair.receive(Pubcomp) == Pubcomp(10)

    seen.clear()
    client.on_publish = lambda _c, _u, mid, _reason, _p: seen.append(mid)
    client.publish("x/y", b"0" * 200, retain=True)
    assert pair.receive(Publish) == Publish("x/y", b"0" * 200, retain=True)
    seen.clear()
    mid = client.publish("x/y", b"1", qos=1).mid
    assert pair.receive(Publish) == Publish("x/y", b"1", QoS.AT_LEAST_ONCE, packet_id=mid)
    pair.send(Puback(mid), lambda: seen == [mid])
    mid = client.publish("x/y", b"2", qos=2).mid
    assert pair.receive(Publish) == Publish("x/y", b"2", QoS.EXACTLY_ONCE, packet_id=mid)
    pair.server.sendall(encode(Pubrec(mid), version))
    assert pair.receive(Pubrel) == Pubrel(mid)
    pair.send(Pubcomp(mid), lambda: mid in seen[1:])

    client.disconnect()
    assert pair.receive(Disconnect) == Disconnect()


@pytest.mark.parametrize("pair", [Version.V5], indirect=True)
def test_paho_and_we_mean_the_same_by_the_properties_of_5(pair: Pair) -> None:
    client, seen = pair.client, pair.seen
    pair.receive(Connect)
    client.on_connect = lambda _c, _u, _f, reason, properties: seen.append((reason, properties))
    pair.send(
        Connack(
            properties=Properties(
                session_expiry_interval_s=5,
                receive_maximum=6,
                maximum_qos=QoS.AT_LEAST_ONCE,
                assigned_client_identifier="given",
                user_properties=(("a", "b"), ("a", "c")),
            )
        ),
        lambda: bool(seen),
    )
    held = seen.pop()[1]
    assert (held.SessionExpiryInterval, held.ReceiveMaximum, held.MaximumQoS) == (5, 6, 1)
    assert (held.AssignedClientIdentifier, held.UserProperty) == ("given", [("a", "b"), ("a", "c")])

    wanted = paho_properties(PacketTypes.SUBSCRIBE)
    wanted.SubscriptionIdentifier = 300
    options = SubscribeOptions(
        qos=1,
        noLocal=True,
        retainAsPublished=True,
        retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND,
    )
    client.subscribe("a/#", options=options, properties=wanted)
    subscribe = pair.receive(Subscribe)
    assert subscribe.requests == (SubscribeRequest("a/#", QoS.AT_LEAST_ONCE, True, True, 2),)
    assert subscribe.properties == Properties(subscription_identifiers=(300,))

    asked = paho_properties(PacketTypes.PUBLISH)
    asked.PayloadFormatIndicator = 1
    asked.MessageExpiryInterval = 60
    asked.ResponseTopic = "answers"
    asked.CorrelationData = b"\0\1"
    asked.ContentType = "text/plain"
    asked.UserProperty = ("k", "é")
    client.publish("a", b"x", properties=asked)
    everything = Properties(
        payload_format_indicator=True,
        message_expiry_interval_s=60,
        response_topic="answers",
        correlation_data=b"\0\1",
        content_type="text/plain",
        user_properties=(("k", "é"),),
    )
    found = pair.receive(Publish)
    assert found == Publish("a", b"x", properties=everything)

    client.on_message = lambda _c, _u, message: seen.append(message.properties)
    pair.send(found, lambda: bool(seen))
    assert seen.pop().json() == asked.json()

    client.on_disconnect = lambda _c, _u, _f, reason, held: seen.append((reason, held))
    goodbye = Disconnect(Reason.SESSION_TAKEN_OVER, Properties(reason_string="you came twice"))
    pair.server.sendall(encode(goodbye, Version.V5))
    while not seen:
        client.loop(timeout=DEADLINE_S)
    reason, held = seen.pop()
    assert isinstance(reason, ReasonCode)
    assert (reason.value, held.ReasonString) == (0x8E, "you came twice")
