"""One client's connection: bytes in, packets handled in their order, frames out once a turn.

Bounds: a slice of work at a time, so that no client holds the loop; `HIGH_WATER` bytes that the
client hasn't read, beyond which QoS 0 is dropped and the rest waits in its MQTT session;
`CONNECT_S` until CONNECT is complete; one and a half keep-alives without a sign of life.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import monotonic  # uvloop's own time goes by the millisecond
from typing import Protocol, cast

from broker.errors import PacketError
from broker.native.counters import Counters
from broker.native.encode import encode
from broker.native.packet import Packet, Version
from broker.native.reason import Reason
from broker.native.stream import PacketStream

CONNECT_S = 10.0
CLOSE_S = 5.0
"""How long a client may take to read the last of what it was sent."""

SLICE_S = 0.002
"""How long one client's packets are worked off before others have their turn."""

LOOK_EVERY = 32
"""Packets between two looks at the clock."""

HIGH_WATER = 1024 * 1024
"""A second of a slow line, and a bound on what a thousand frozen clients cost."""


class Client(Protocol):
    """What the packets of a connection mean."""

    def handle(self, packet: Packet) -> None:
        """Do what a packet asks for; raises PacketError where it may not be sent."""

    def fail(self, error: PacketError) -> None:
        """Say goodbye to a client that broke the rules."""

    def lost(self) -> None:
        """The connection is gone."""

    def has_room(self) -> None:
        """The client reads again."""


class Connection(asyncio.Protocol):
    """See above; also the `Wire` of the MQTT session that it carries."""

    def __init__(
        self,
        *,
        max_packet_bytes: int,
        ended: Callable[[Connection], None] = lambda _self: None,
        counters: Counters | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._stream = PacketStream(max_packet_bytes=max_packet_bytes)
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._can_write = True
        self._is_working = False
        self._is_reading = True
        self._holds = 0
        self._steps: Iterator[None] | None = None
        self._heard = self._loop.time()
        self._keep_alive_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._ended = ended
        self._counters = counters or Counters()
        self.client: Client | None = None
        self.is_refused = False
        """Whether it is one connection too many, closed as soon as it is made."""
        self.is_open = False
        self.must_log_in = False
        """Whether nobody is anonymous here, whatever the rules for "*" are."""
        self.version = Version.V311
        self.window = 20
        self.max_frame_bytes: int | None = None
        self.peer_host = ""

    # --- for the client's side of the broker

    @property
    def has_room(self) -> bool:
        """Whether the client reads what it is sent."""
        return self._can_write and self.is_open

    def now(self) -> float:
        return self._loop.time()

    def send(self, frame: bytes) -> bool:
        """Send a whole packet at the end of this turn; false if the client takes none so large."""
        if self.max_frame_bytes is not None and len(frame) > self.max_frame_bytes:
            return False
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame)
        return True

    def send_packet(self, packet: Packet) -> None:
        self._counters.answers_sent += 1
        self.send(encode(packet, self.version))

    def close(self) -> None:
        """Send what is waiting and close; nothing that the client sends counts any more."""
        if not self.is_open:
            return
        self.is_open = False
        self._flush()
        assert self._transport is not None
        self._transport.close()
        # A client that doesn't read would keep what is buffered for it, and the connection.
        self._closing = self._loop.call_later(CLOSE_S, self._transport.abort)

    def abort(self) -> None:
        """Close at once, whatever is waiting."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def stop(self) -> None:
        """Say goodbye, since whoever carries this connection stops."""
        if self.client is not None:
            self.client.fail(PacketError(Reason.SERVER_SHUTTING_DOWN, ""))

    def connected(self, keep_alive_s: float) -> None:
        """CONNECT is accepted: from now on the keep-alive counts [MQTT-3.1.2-24]."""
        self._keep_alive_s = keep_alive_s
        self._set_timer()

    def hold(self) -> None:
        """Handle no further packet until `release`, which must follow."""
        self._holds += 1

    def release(self) -> None:
        self._holds -= 1
        self._work()

    def work_off(self, steps: Iterator[None]) -> None:
        """Take steps, a slice at a time and as the client reads, before its next packet."""
        assert self._steps is None
        self._steps = steps
        self.hold()
        self._step()

    # --- from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's is none by name
        transport.set_write_buffer_limits(high=HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.peer_host = peer[0] if isinstance(peer, tuple) else ""
        self.is_open = True
        self._timer = self._loop.call_later(CONNECT_S, self._no_connect)
        if self.is_refused:
            self.abort()

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if not self.is_open:
            return
        self._counters.bytes_received += len(data)
        self._stream.feed(data)
        if not self._is_working:
            self._work()

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._heard = self._loop.time()  # it reads: that is a sign of life
        if self._steps is not None:
            self._step()
        elif self.client is not None:
            self.client.has_room()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.is_open = False
        self._out.clear()
        self._steps = None
        if self._timer is not None:
            self._timer.cancel()
        if self._closing is not None:
            self._closing.cancel()
        if self.client is not None:
            self.client.lost()
        self._ended(self)

    # --- how

    def _work(self) -> None:
        """Handle packets until there is none, or this client's slice is over."""
        self._is_working = False
        client, stream = self.client, self._stream
        assert client is not None
        count = 0
        began = monotonic()
        try:
            while self.is_open and not self._holds:
                packet = stream.next_packet()
                if packet is None:
                    break
                client.handle(packet)
                count += 1
                if count % LOOK_EVERY == 0 and monotonic() - began > SLICE_S:
                    self._is_working = True
                    self._loop.call_soon(self._work)
                    break
        except PacketError as error:
            client.fail(error)
        self._counters.packets_received += count
        self._read_on(not self._is_working and not self._holds)

    def _read_on(self, wanted: bool) -> None:
        """Take in no more than is worked off."""
        if wanted == self._is_reading or not self.is_open:
            return
        self._is_reading = wanted
        assert self._transport is not None
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _step(self) -> None:
        steps = self._steps
        if steps is None:
            return
        began = monotonic()
        for _ in steps:
            if not self._can_write:
                return  # resume_writing goes on
            if monotonic() - began > SLICE_S:
                self._loop.call_soon(self._step)
                return
        self._steps = None
        self.release()

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            out, self._out = self._out, []
            data = b"".join(out) if len(out) > 1 else out[0]
            self._counters.packets_sent += len(out)
            self._counters.bytes_sent += len(data)
            self._transport.write(data)

    def _no_connect(self) -> None:
        self._timer = None
        self._counters.unfinished_connects += 1
        self.close()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._keep_alive_s and self.is_open:
            due = self._heard + 1.5 * self._keep_alive_s
            self._timer = self._loop.call_at(due, self._check_keep_alive)

    def _check_keep_alive(self) -> None:
        self._timer = None
        if self._loop.time() < self._heard + 1.5 * self._keep_alive_s:
            self._set_timer()
        elif self.client is not None:
            self.client.fail(PacketError(Reason.KEEP_ALIVE_TIMEOUT, "nothing came for too long"))
