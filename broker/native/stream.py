"""Bytes in, packets out: one direction of one connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from broker.errors import PacketError
from broker.native.connect import decode_connect, read_version
from broker.native.decode import BY_CLIENT, BY_SERVER
from broker.native.field import FieldReader
from broker.native.message_run import MAX_BYTES, MessageRun, run_at
from broker.native.packet import (
    Acknowledgement,
    Packet,
    PacketType,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    Version,
)
from broker.native.publish import decode_publish
from broker.native.reason import Reason
from broker.native.router import Routes

_NAMES = {int(kind): kind.name for kind in PacketType}
_ACKNOWLEDGEMENTS: Mapping[int, Callable[[int], Acknowledgement]] = {
    0x40: Puback,
    0x50: Pubrec,
    0x62: Pubrel,
    0x70: Pubcomp,
}
"""By their first byte, of two bytes: without a reason, which stands for success, or properties."""

_WITH_FLAG = (PacketType.PUBREL, PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE)


class PacketStream:
    """Takes bytes as they come and gives packets, each when it is complete.

    `feed` only keeps the bytes; the work is done by `next_packet`, so that whoever owns the
    connection decides how much of it to do before others have their turn. Every byte is copied
    a bounded number of times, however the bytes are cut.

    Bound: of one packet never more than `max_packet_bytes` are waited for. What is fed beyond
    that and not asked for yet is in `buffered`: pause reading while that is much.

    The first packet must be a CONNECT and no other may be one; it sets `version`. For what a
    server sends, give the version. After a PacketError the stream is at its end: the same error
    comes again, and nothing more is kept.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_decoders",
        "_failure",
        "_from_client",
        "_later",
        "max_packet_bytes",
        "open_topics",
        "version",
    )

    def __init__(
        self,
        *,
        max_packet_bytes: int,
        sent_by: Literal["client", "server"] = "client",
        version: Version | None = None,
    ) -> None:
        self.max_packet_bytes = max_packet_bytes
        """Of one whole packet, its fixed header included (3.1.2.11.4)."""
        self.version = version
        """Known once a CONNECT has named it, also where that CONNECT is refused."""
        self.open_topics: Mapping[bytes, Routes[Any]] = {}
        """Topics, as bytes, whose QoS 0 messages may go on as they come, and who gets them."""
        self._from_client = sent_by == "client"
        self._decoders = BY_CLIENT if self._from_client else BY_SERVER
        self._buffer = b""
        self._at = 0
        self._later = bytearray()
        self._failure: PacketError | None = None

    @property
    def buffered(self) -> int:
        """Bytes that were fed and are in no packet yet."""
        return len(self._buffer) - self._at + len(self._later)

    def feed(self, data: bytes) -> None:
        """Keep the bytes that came next."""
        if self._failure is not None:
            return
        if self._buffer or self._later:
            self._later += data
        else:
            self._buffer = data

    def next_run(self) -> MessageRun | None:
        """Messages that come next, if they are such as `open_topics` tells of."""
        if not self.open_topics or self.version is None:
            return None
        most = min(MAX_BYTES, self.max_packet_bytes)
        run = run_at(self._buffer, self._at, self.open_topics, self.version, most)
        if run is not None:
            self._at += len(run.raw)
        return run

    def next_packet(self) -> Packet | None:
        """The next packet, or None until more bytes are fed.

        Raises PacketError, whose `reason` is what the sender is to be told, and nothing else.
        """
        try:
            return self._next()
        except PacketError as error:
            self._failure = error
            self._buffer, self._at = b"", 0
            self._later.clear()
            raise

    def _next(self) -> Packet | None:
        while True:
            buffer, start = self._buffer, self._at
            size = len(buffer)
            missing = 0
            if start + 2 <= size:
                first, length, at = buffer[start], buffer[start + 1], start + 2
                if length > 127:
                    length, at = _long_length(buffer, start)
                if length >= 0:
                    end = at + length
                    if end <= size and end - start <= self.max_packet_bytes:
                        self._at = end
                        if first >> 4 == 3 and self.version is not None:
                            return decode_publish(
                                buffer, start, at, end, self.version, self._from_client
                            )
                        return self._decode(first, at, end)
                    self._check_first(first)
                    if end - start > self.max_packet_bytes:
                        raise PacketError(
                            Reason.PACKET_TOO_LARGE,
                            f"a packet of {end - start} bytes is too large: "
                            f"{self.max_packet_bytes} at most",
                        )
                    missing = end - size
            if not self._join(missing):
                return None

    def _join(self, missing: int) -> bool:
        """Whether there are more bytes to look at than before, `missing` ones at least."""
        if self._failure is not None:
            raise PacketError(self._failure.reason, str(self._failure))
        if self._at:  # so that an idle connection doesn't hold on to what was read
            self._buffer, self._at = self._buffer[self._at :], 0
        if not self._later or len(self._later) < missing:
            return False
        self._buffer = b"".join((self._buffer, self._later))
        self._later = bytearray()
        return True

    def _check_first(self, first: int) -> None:
        """Raise PacketError where the first byte says already that this packet is wrong."""
        kind, flags = first >> 4, first & 0x0F
        if self.version is None:
            if kind != PacketType.CONNECT:  # [MQTT-3.1.0-1]
                raise _protocol_error("the first packet is no CONNECT")
        elif kind == PacketType.CONNECT:  # [MQTT-3.1.0-2]
            raise _protocol_error("a second CONNECT came")
        if kind == PacketType.PUBLISH:
            return
        known = self._decoders.get(kind) or (self._from_client and kind == PacketType.CONNECT)
        if not known or (kind == PacketType.AUTH and self.version is not Version.V5):
            sender = "client" if self._from_client else "server"
            raise _protocol_error(f"a {sender} can't send {_NAMES.get(kind, 'packet type 0')}")
        if self.version is Version.V31:
            return  # where the flags of other packets aren't used, or are a QoS and DUP
        if flags != (2 if kind in _WITH_FLAG else 0):  # [MQTT-2.1.3-1]; in 3.1.1 [MQTT-2.2.2-1]
            raise PacketError(
                Reason.MALFORMED_PACKET, f"{_NAMES[kind]}: the flags of its first byte are {flags}"
            )

    def _decode(self, first: int, at: int, end: int) -> Packet:
        acknowledgement = _ACKNOWLEDGEMENTS.get(first)
        if acknowledgement is not None and end - at == 2 and self.version is not None:
            packet_id = self._buffer[at] << 8 | self._buffer[at + 1]
            if packet_id:
                return acknowledgement(packet_id)
        self._check_first(first)
        kind = first >> 4
        reader = FieldReader(_NAMES[kind], self._buffer, at, end)
        if self.version is None:
            self.version = read_version(reader)
            return decode_connect(reader, self.version)
        return self._decoders[kind](reader, self.version)


def _long_length(buffer: bytes, start: int) -> tuple[int, int]:
    """A remaining length of more than one byte and where it ends; -1 until all of it is there."""
    length = 0
    for place, byte in enumerate(buffer[start + 1 : start + 5]):
        length |= (byte & 127) << 7 * place
        if byte < 128:
            if not byte:  # [MQTT-1.5.5-1]; 3.1.1 doesn't say so, and nobody does it
                raise _malformed("a remaining length is not written in the fewest bytes possible")
            return length, start + 2 + place
    if len(buffer) - start >= 5:  # 2.1.4
        raise _malformed("a remaining length is longer than four bytes")
    return -1, start


def _malformed(message: str) -> PacketError:
    return PacketError(Reason.MALFORMED_PACKET, message)


def _protocol_error(message: str) -> PacketError:
    return PacketError(Reason.PROTOCOL_ERROR, message)
