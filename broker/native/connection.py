"""One client's connection: bytes in, packets handled in their order, frames out once a turn.

Bounds: a slice of work at a time, so that no client holds the loop; `READ_AHEAD` bytes that wait
to be worked off; `HIGH_WATER` bytes that the client hasn't read, beyond which QoS 0 is dropped
and the rest waits in its MQTT session, and as much again of answers, beyond which its packets wait;
`CONNECT_S` until CONNECT is complete; one and a half keep-alives without a byte from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any, Protocol, cast

from broker.errors import PacketError
from broker.native.aliases import TopicAliases
from broker.native.counters import Counters
from broker.native.encode import encode
from broker.native.message_run import MessageRun
from broker.native.packet import V5, Packet, Version
from broker.native.reason import Reason
from broker.native.router import Routes
from broker.native.stream import PacketStream

MAX_CONNECT_BYTES = 256 * 1024
"""A client that is not known yet makes us keep no more than this; its will must fit in, too."""

CONNECT_S = 10.0
CLOSE_S = 2.0
"""How long a client may take to read the last of what it was sent, and to close its side."""

SLICE_S = 0.002
"""How long one client's packets are worked off before others have their turn."""

HIGH_WATER = 1024 * 1024
"""A second of a slow line, and a bound on what a thousand frozen clients cost."""

READ_AHEAD = 64 * 1024
FLUSH_BYTES = 256 * 1024
"""What is joined in one turn; a turn that sends more writes more than once."""


class Client(Protocol):
    """What the packets of a connection mean."""

    def handle(self, packet: Packet) -> None:
        """Do what a packet asks for; raises PacketError where it may not be sent."""

    def forward(self, run: MessageRun) -> None:
        """Pass messages on as they came."""

    def fail(self, error: PacketError) -> None:
        """Say goodbye to a client that broke the rules."""

    def lost(self) -> None:
        """The connection is gone."""

    def has_room(self) -> None:
        """The client reads again."""


class Connection(asyncio.Protocol):
    """See above; also the `Wire` of the MQTT session that it carries."""

    __slots__ = (
        "_can_write",
        "_closing",
        "_counters",
        "_ended",
        "_heard",
        "_holds",
        "_in_work",
        "_is_due",
        "_is_finished",
        "_is_lost",
        "_is_reading",
        "_keep_alive_s",
        "_loop",
        "_max_packet_bytes",
        "_out",
        "_out_bytes",
        "_saw_eof",
        "_steps",
        "_steps_hold",
        "_stream",
        "_takes",
        "_timer",
        "_transport",
        "_unread",
        "aliases",
        "client",
        "is_open",
        "known_as",
        "max_frame_bytes",
        "must_log_in",
        "peer_host",
        "version",
        "window",
    )

    def __init__(
        self,
        *,
        max_packet_bytes: int,
        ended: Callable[[Connection], None] = lambda _self: None,
        counters: Counters | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_packet_bytes = max_packet_bytes
        self._stream = PacketStream(max_packet_bytes=min(max_packet_bytes, MAX_CONNECT_BYTES))
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._can_write = True
        self._unread = 0  # of answers, in bytes, since it reads no more
        self._takes = True  # its packets count
        self._in_work = False
        self._is_due = False  # `_work` will be called
        self._is_reading = True
        self._saw_eof = False
        self._is_lost = False
        self._is_finished = False
        self._holds = 0
        self._steps: Iterator[bool] | None = None
        self._steps_hold = False
        self._heard = self._loop.time()
        self._keep_alive_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._ended = ended
        self._counters = counters or Counters()
        self.client: Client | None = None
        self.is_open = False
        self.must_log_in = False
        """Whether nobody is anonymous here, whatever the rules for "*" are."""
        self.known_as: str | None = None
        """The user that the carrier knows, for a CONNECT that names none."""
        self.version = Version.V311
        self.window = 20
        self.max_frame_bytes: int | None = None
        self.aliases: TopicAliases | None = None
        self.peer_host = ""

    # --- for the client's side of the broker

    @property
    def has_room(self) -> bool:
        """Whether the client reads what it is sent."""
        return self._can_write and self.is_open

    @property
    def named_version(self) -> Version | None:
        """The version that its CONNECT named, also where that was refused."""
        return self._stream.version

    def now(self) -> float:
        return self._loop.time()

    def send(self, frame: bytes) -> bool:
        """Send a whole packet at the end of this turn; false if the client takes none so large."""
        size = len(frame)
        if self.max_frame_bytes is not None and size > self.max_frame_bytes:
            return False
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame)
        self._out_bytes += size
        if self._out_bytes > FLUSH_BYTES:
            self._flush()
        return True

    def send_run(self, run: MessageRun) -> bool:
        """The same for messages as they came; false if the client can't have them so."""
        is_other = self.aliases is not None or (self.version is V5) is not (run.version is V5)
        if is_other or not self.send(run.raw):
            return False
        self._counters.packets_sent += run.count - 1
        return True

    def open_topics(self, topics: Mapping[bytes, Routes[Any]]) -> None:
        """From now on let the client's messages to these topics come as runs."""
        self._stream.open_topics = topics

    def send_packet(self, packet: Packet) -> bool:
        """The same, for a packet that is no PUBLISH; it goes nowhere once the connection closes."""
        self._counters.answers_sent += self.is_open
        if not self.is_open:
            return False
        frame = encode(packet, self.version)
        if not self._can_write:
            self._unread += len(frame)
        return self.send(frame)

    def close(self) -> None:
        """Send what is waiting and close; nothing that the client sends counts any more."""
        self._takes = False
        if not self.is_open:
            return
        self._flush()
        self.is_open = False
        transport = self._transport
        assert transport is not None
        if transport.is_closing():
            return
        # Closing with bytes unread makes the system send a reset, which could overtake our last
        # packet at the client: so we end our side, read on, and let the client close.
        self._read_on(True)
        if not _write_eof(transport):
            transport.close()
        self._abort_later()

    def abort(self) -> None:
        """Close at once, whatever is waiting."""
        self._takes = False
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def stop(self) -> None:
        """Say goodbye, since whoever carries this connection stops."""
        if self.client is not None:
            self.client.fail(PacketError(Reason.SERVER_SHUTTING_DOWN, ""))

    def complete(self) -> None:
        """CONNECT is there: how long we take to judge it is not the client's fault."""
        self._stop_timer()

    def connected(self, keep_alive_s: float) -> None:
        """CONNECT is accepted: from now on the keep-alive counts [MQTT-3.1.2-22]."""
        self._stream.max_packet_bytes = self._max_packet_bytes
        self._keep_alive_s = keep_alive_s
        self._heard = self._loop.time()
        self._set_timer()

    def hold(self) -> None:
        """Handle no further packet until `release`, which must follow."""
        self._holds += 1

    def release(self) -> None:
        self._holds -= 1
        if not self._in_work:
            self._work()

    @property
    def is_stepping(self) -> bool:
        """Whether the last steps of `work_off` are not all taken yet."""
        return self._steps is not None

    def work_off(self, steps: Iterator[bool]) -> None:
        """Take steps, a slice at a time and as the client reads, before its next packet.

        A step that gives False waits for `go_on`, and meanwhile the client's packets go on.
        """
        assert self._steps is None
        self._steps = steps
        self._steps_hold = True
        self._holds += 1
        self._step()

    def go_on(self) -> None:
        """Take the next steps, if they wait for this."""
        if self._steps is not None and not self._steps_hold:
            self._steps_hold = True
            self._holds += 1
            self._loop.call_soon(self._step)

    # --- from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.peer_host = peer[0] if isinstance(peer, tuple) else ""
        if not self._takes:  # the broker was stopped in between
            self._transport.abort()
            return
        self.is_open = True
        self._timer = self._loop.call_later(CONNECT_S, self._no_connect)

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if not self._takes:
            return
        self._counters.bytes_received += len(data)
        self._stream.feed(data)
        if not self._is_due:
            self._work()

    def eof_received(self) -> bool:
        """The client will send no more: close, once all that it has sent is worked off."""
        self._saw_eof = True
        if self._takes and (self._is_due or self._holds > 0):
            return True
        self._abort_later()
        return False

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._unread = 0
        if self._steps_hold:
            self._step()
        elif not self._is_due:
            self._work()
        if self.is_open and self.client is not None:
            self.client.has_room()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.is_open = False
        self._is_lost = True
        self._out.clear()
        self._steps = None
        if self._steps_hold:
            self._steps_hold = False
            self._holds -= 1
        self._stop_timer()
        if self._closing is not None:
            self._closing.cancel()
        if self._holds:  # it was not let in yet
            self._takes = False
        if not self._is_due and not self._in_work:
            self._work()  # what came before the end counts

    # --- how

    def _work(self) -> None:
        """Handle packets until there is none, or this client's slice is over."""
        self._is_due = False
        client, stream = self.client, self._stream
        assert client is not None
        is_stuffed = self._unread > HIGH_WATER
        count = 0
        began = monotonic()
        self._in_work = True
        try:
            while self._takes and not self._holds and not is_stuffed:
                if (run := stream.next_run()) is not None:
                    count += run.count
                    client.forward(run)
                elif (packet := stream.next_packet()) is not None:
                    count += 1
                    client.handle(packet)
                else:
                    break
                if monotonic() - began > SLICE_S:
                    self._is_due = True
                    self._loop.call_soon(self._work)
                    break
        except PacketError as error:
            client.fail(error)
        finally:
            self._in_work = False
            self._counters.packets_received += count
        is_busy = self._is_due or self._holds > 0 or is_stuffed
        if self._is_lost:
            if not self._is_due:
                self._finish()
        elif self.is_open:
            self._read_on(not is_busy or self._stream.buffered < READ_AHEAD)
            if self._saw_eof and not is_busy:
                assert self._transport is not None
                self._flush()
                self._transport.close()
                self._abort_later()

    def _abort_later(self) -> None:
        """A transport that closes waits for ever for a client that never reads the last of it."""
        if self._closing is None and self._transport is not None:
            self._closing = self._loop.call_later(CLOSE_S, self._transport.abort)

    def _read_on(self, wanted: bool) -> None:
        """Take in little more than is worked off."""
        if wanted == self._is_reading:
            return
        self._is_reading = wanted
        assert self._transport is not None
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _step(self) -> None:
        if self._steps is None or not self._steps_hold:
            return
        began = monotonic()
        while self.has_room:  # else resume_writing goes on
            goes_on = next(self._steps, None)
            if not goes_on:
                if goes_on is None:
                    self._steps = None
                self._steps_hold = False
                self.release()
                return
            if monotonic() - began > SLICE_S:
                self._loop.call_soon(self._step)
                return

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            out, self._out = self._out, []
            self._out_bytes = 0
            data = b"".join(out) if len(out) > 1 else out[0]
            self._counters.packets_sent += len(out)
            self._counters.bytes_sent += len(data)
            self._transport.write(data)

    def _finish(self) -> None:
        assert self.client is not None
        self._takes = False
        if not self._is_finished:
            self._is_finished = True
            self.client.lost()
            self._ended(self)

    def _no_connect(self) -> None:
        self._timer = None
        self._counters.unfinished_connects += 1
        self.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        self._stop_timer()
        if self._keep_alive_s and self.is_open:
            due = self._heard + 1.5 * self._keep_alive_s
            self._timer = self._loop.call_at(due, self._check_keep_alive)

    def _check_keep_alive(self) -> None:
        self._timer = None
        if not self._is_reading and self._can_write:
            self._heard = self._loop.time()  # it is we who didn't listen
        if self._loop.time() < self._heard + 1.5 * self._keep_alive_s:
            self._set_timer()
        elif self.client is not None:
            self.client.fail(PacketError(Reason.KEEP_ALIVE_TIMEOUT, "nothing came for too long"))


def _write_eof(transport: asyncio.Transport) -> bool:
    """End our side of a connection; false where that can't be done."""
    try:
        if not transport.can_write_eof():
            return False
        transport.write_eof()
    except (NotImplementedError, OSError):  # a transport of our own; a client that is gone
        return False
    return True
