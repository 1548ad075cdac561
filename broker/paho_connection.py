"""One connection to a broker: paho's client, its socket driven by the event loop.

paho packs and unpacks packets and minds packet identifiers and pings. It is used for one
connection only, and what it keeps of unacknowledged messages is thrown away with it: it would
send them again behind what is published at CONNACK, and more at once than the broker allows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic  # uvloop's own time goes by the millisecond
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from broker.link import Endpoint, Message, QoS, Request, Subscription
from broker.link_socket import LinkSocket
from broker.outage import VERSION_REFUSED, why_ended, why_refused
from broker.outbox import wire_size

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike

SLICE_PACKETS = 500
SLICE_S = 0.005
"""How much is read in one go: long enough to be worth a turn of the loop, short enough that
browsers and readers, who share the loop, don't notice."""

JOINED_BYTES = 65_536
"""How much a caller publishes in one go before it is written in between."""

TICK_S = 1.0
"""How often paho looks at its clock."""

ANSWER_S = 10.0
"""How long a broker may take to answer CONNECT; one that looks logins up elsewhere needs some."""

LEAVE_S = 0.5
"""How long a broker may take to close the connection after DISCONNECT [MQTT-3.14.4-1]. If we
closed first while it still sends, the system might reset the connection and it would miss
the DISCONNECT: the will would be published."""

_QOS = tuple(QoS)
_SUCCESS = MQTTErrorCode.MQTT_ERR_SUCCESS
_FAILURE = 0x80  # reason codes from here on are failures [MQTT5 2.4]


@dataclass(frozen=True, slots=True)
class Login:
    """What a client says of itself in CONNECT."""

    endpoint: Endpoint
    client_id: str
    will: Message | None
    keep_alive_s: int
    version: MQTTProtocolVersion


@dataclass(frozen=True, slots=True)
class Limits:
    """What a broker can take, from its CONNACK; only MQTT 5 brokers say it [MQTT5 3.2.2.3]."""

    receive_maximum: int = 20
    """With 3.1.1, what brokers put up with unasked: Mosquitto closes at 21 of QoS 2."""

    packet_bytes: int | None = None
    qos: QoS = QoS.EXACTLY_ONCE
    retain: bool = True


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended."""

    reason: str
    seconds: float = 0.0
    """How long it stood, from CONNACK on."""

    was_accepted: bool = False
    other_version: bool = False
    """Whether another MQTT version may fare better."""


class Owner(Protocol):
    """Who is told what a connection sees; all on the event loop."""

    def accepted(self, limits: Limits) -> None:
        """The broker took us in."""

    def received(self, messages: Sequence[Message]) -> None:
        """What one burst brought."""

    def acknowledged(self, packet_id: int, failure: str) -> None:
        """The broker has a QoS 1 or 2 message, or refuses it for the reason named.

        Called from within paho: publish nothing before `progressed` is called.
        """

    def subscribed(self, failures: Sequence[str]) -> None:
        """The broker's answer for each subscription, "" where it is granted; from within paho."""

    def progressed(self) -> None:
        """Something was written or acknowledged: there may be room for more."""


class PahoConnection:
    """From CONNECT to the end; `ended` is the future that says how it ended."""

    def __init__(self, opened: LinkSocket, login: Login, owner: Owner) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = opened
        self._fileno = opened.fileno()
        self._login = login
        self._owner = owner
        self._client = _client(opened, login)
        self._batch: list[Message] = []
        self._acknowledged = False
        self._answer: Limits | None = None
        self._lost = ""
        self._accepted_at: float | None = None
        self._other_version = False
        self._written_since = 0
        self._reading: asyncio.Handle | None = None
        self._writing: asyncio.Handle | None = None
        self._waits_to_write = False
        self._tick_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[Ending] = self._loop.create_future()

    @property
    def is_up(self) -> bool:
        """Whether the broker took us in and the connection stands."""
        return self._accepted_at is not None and not self.ended.done()

    @property
    def unsent(self) -> int:
        """Bytes that the broker didn't take yet."""
        return self._socket.unsent + self._written_since

    def start(self) -> None:
        """Send CONNECT."""
        client = self._client
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_socket_register_write
        self._loop.add_reader(self._fileno, self._on_readable)
        self._answer_timer = self._loop.call_later(ANSWER_S, self._no_answer)
        self._tick_timer = self._loop.call_later(TICK_S, self._tick)
        client.reconnect()

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Send one SUBSCRIBE for all; retained messages come first and keep their flag."""
        if self._login.version == MQTTProtocolVersion.MQTTv5:
            self._client.subscribe(
                [
                    (
                        each.topic_filter,
                        SubscribeOptions(
                            qos=int(each.qos),
                            retainAsPublished=True,
                            retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE,
                        ),
                    )
                    for each in subscriptions
                ]
            )
        else:
            self._client.subscribe([(each.topic_filter, int(each.qos)) for each in subscriptions])

    def publish(self, message: Message) -> int:
        """Send PUBLISH; returns its packet identifier."""
        while True:
            info = self._client.publish(
                message.topic,
                message.payload,
                int(message.qos),
                message.retain,
                self._properties(message),
            )
            # paho numbers QoS 0 messages, too, and so comes round to identifiers in use
            if info.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
                break
        self._written_since += wire_size(message)
        if self._written_since > JOINED_BYTES:
            self._write()
        return info.mid

    def _properties(self, message: Message) -> Properties | None:
        if not isinstance(message, Request) or self._login.version != MQTTProtocolVersion.MQTTv5:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if message.response_topic:
            properties.ResponseTopic = message.response_topic
        if message.correlation_data:
            properties.CorrelationData = message.correlation_data
        return properties

    async def leave(self) -> None:
        """Send DISCONNECT, so that the will stays unpublished, and close."""
        if self.is_up:
            self._client.on_disconnect = None
            self._client.disconnect()
            self._client.loop_write()  # paho lets go of the socket now
            gone = asyncio.Event()

            def finish() -> None:
                if self._socket.finish():
                    gone.set()
                if not self._socket.unsent:
                    self._loop.remove_writer(self._fileno)

            self._loop.add_reader(self._fileno, finish)
            self._loop.add_writer(self._fileno, finish)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await gone.wait()
        self.close()

    def close(self, reason: str = "closed by ourselves") -> None:
        """Close without a word, if it isn't closed yet."""
        if self.ended.done():
            return
        now = self._loop.time()
        self.ended.set_result(
            Ending(
                reason,
                seconds=0.0 if self._accepted_at is None else now - self._accepted_at,
                was_accepted=self._accepted_at is not None,
                other_version=self._other_version,
            )
        )
        for handle in (self._reading, self._writing, self._tick_timer, self._answer_timer):
            if handle is not None:
                handle.cancel()
        self._loop.remove_reader(self._fileno)
        self._loop.remove_writer(self._fileno)
        self._socket.really_close()
        client = self._client  # it refers to us by its callbacks: leave no circle behind
        client.on_connect = client.on_disconnect = client.on_message = client.on_subscribe = None
        client.on_publish = client.on_socket_close = client.on_socket_register_write = None

    # what the loop calls

    def _on_readable(self) -> None:
        if self._reading is None:  # else the next slice is due already
            self._read()

    def _read(self) -> None:
        self._reading = None
        # Only here, since paho would make a reason code for each QoS 0 message it writes.
        self._client.on_publish = self._on_publish
        is_sound = False
        try:
            self._read_slice()
            is_sound = True
        finally:
            self._client.on_publish = None
            if not is_sound:
                self.close(f"{self._login.endpoint.url} sent what is no MQTT")
        answer, self._answer = self._answer, None
        if not (self._lost or self._socket.is_drained):
            self._reading = self._loop.call_soon(self._read)
        if self._socket.unsent:  # a WebSocket pong
            self._write_soon()
        try:
            self._tell(answer)
        finally:
            self._end_if_lost()

    def _read_slice(self) -> None:
        client, opened = self._client, self._socket
        end = monotonic() + SLICE_S
        for count in range(SLICE_PACKETS):
            client.loop_read()
            if self._lost or opened.is_drained or self._answer is not None:
                return
            if count % 16 == 15 and monotonic() > end:
                return

    def _tell(self, answer: Limits | None) -> None:
        """Tell the owner what the slice brought. Last: what the owner raises is the loop's."""
        if self._acknowledged:
            self._acknowledged = False
            self._owner.progressed()
        if self._batch:
            batch, self._batch = self._batch, []
            self._owner.received(batch)
        if answer is not None and not self._lost:
            self._accepted_at = self._loop.time()
            if self._answer_timer is not None:
                self._answer_timer.cancel()
            self._owner.accepted(answer)

    def _on_writable(self) -> None:
        self._write()
        if not self.ended.done():
            self._owner.progressed()

    def _write(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        self._written_since = 0
        self._client.loop_write()
        try:
            self._socket.flush()
        except OSError:
            self._lost = self._lost or f"{self._login.endpoint.url} closed the connection"
        self._end_if_lost()
        if self.ended.done():
            return
        if self._socket.unsent and not self._waits_to_write:
            self._loop.add_writer(self._fileno, self._on_writable)
        elif not self._socket.unsent and self._waits_to_write:
            self._loop.remove_writer(self._fileno)
        self._waits_to_write = bool(self._socket.unsent)

    def _write_soon(self) -> None:
        if self._writing is None and not self.ended.done():
            self._writing = self._loop.call_soon(self._on_writable)

    def _tick(self) -> None:
        self._tick_timer = self._loop.call_later(TICK_S, self._tick)
        self._client.loop_misc()
        self._end_if_lost()

    def _no_answer(self) -> None:
        self.close(
            f"{self._login.endpoint.url} takes the connection but doesn't answer as an MQTT broker"
        )

    def _end_if_lost(self) -> None:
        if self._lost:
            self.close(self._lost)

    # what paho calls; to hand over and return

    def _on_connect(
        self,
        _client: object,
        _data: object,
        _flags: paho.ConnectFlags,
        code: ReasonCode,
        told: Properties | None,
    ) -> None:
        if code.is_failure:
            self._other_version = code.value == VERSION_REFUSED
            self._lost = why_refused(self._login.endpoint, code.value, code.getName())
        else:
            is_5 = self._login.version == MQTTProtocolVersion.MQTTv5
            self._answer = _limits(told) if is_5 else Limits()

    def _on_disconnect(
        self,
        _client: object,
        _data: object,
        flags: paho.DisconnectFlags,
        code: ReasonCode,
        _properties: object,
    ) -> None:
        if self._lost:
            return
        if self._accepted_at is None:  # brokers that know no MQTT 5 do this, too
            self._other_version = True
        self._lost = why_ended(
            self._login.endpoint,
            was_accepted=self._accepted_at is not None,
            by_packet=flags.is_disconnect_packet_from_server,
            code=code.value,
            name=code.getName(),
        )

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # [MQTT-1.5.4-1]
            self._lost = f"{self._login.endpoint.url} sent a topic that is no UTF-8"
            return
        taken = (topic, bytes(message.payload), _QOS[message.qos], bool(message.retain))
        if response_topic := getattr(message.properties, "ResponseTopic", ""):
            correlation_data = getattr(message.properties, "CorrelationData", b"")
            self._batch.append(Request(*taken, response_topic, correlation_data))
        else:
            self._batch.append(Message(*taken))

    def _on_publish(
        self, _client: object, _data: object, mid: int, code: ReasonCode, _properties: object
    ) -> None:
        self._acknowledged = True
        self._owner.acknowledged(mid, code.getName() if code.value >= _FAILURE else "")

    def _on_subscribe(
        self, _client: object, _data: object, _mid: int, codes: list[ReasonCode], _more: object
    ) -> None:
        self._owner.subscribed([code.getName() if code.is_failure else "" for code in codes])

    def _on_socket_close(self, *_: object) -> None:
        self._loop.remove_reader(self._fileno)
        self._loop.remove_writer(self._fileno)

    def _on_socket_register_write(self, *_: object) -> None:
        self._write_soon()


class _Client(paho.Client):
    """paho's client over a socket that was opened before, since opening blocks."""

    def __init__(self, opened: LinkSocket, **options: Any) -> None:
        self._opened = opened
        super().__init__(CallbackAPIVersion.VERSION2, **options)

    def _create_socket(self) -> SocketLike:
        return self._opened


def _client(opened: LinkSocket, login: Login) -> _Client:
    client = _Client(
        opened,
        client_id=login.client_id,
        protocol=login.version,
        reconnect_on_failure=False,  # paho would try MQTT 3.1 by itself, with a socket of its own
    )
    client.max_inflight_messages = 0  # the outbox minds the window
    client.username_pw_set(login.endpoint.username, login.endpoint.password)
    if (will := login.will) is not None:
        client.will_set(will.topic, will.payload, int(will.qos), will.retain)
    parts = urlsplit(login.endpoint.url)
    client.connect_async(
        parts.hostname or "", parts.port or 1, login.keep_alive_s, clean_start=True
    )
    return client


def _limits(told: Properties | None) -> Limits:
    """CONNACK has properties with MQTT 5 only, and each of them may be absent."""
    return Limits(
        receive_maximum=getattr(told, "ReceiveMaximum", 65_535),
        packet_bytes=getattr(told, "MaximumPacketSize", None),
        qos=_QOS[getattr(told, "MaximumQoS", 2)],
        retain=bool(getattr(told, "RetainAvailable", 1)),
    )
