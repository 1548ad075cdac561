"""How numbers, texts and bytes lie in a packet (MQTT 1.5): read with every check, and written."""

from __future__ import annotations

from broker.errors import PacketError
from broker.native.reason import Reason

MAX_FIELD_BYTES = 65_535
MAX_VARIABLE_INTEGER = 268_435_455


class FieldReader:
    """Reads one field after the other from a part of a buffer, and never past its end.

    Every method raises PacketError, with the packet's name in the message, and nothing else.
    """

    __slots__ = ("_at", "_buffer", "_end", "packet")

    def __init__(self, packet: str, buffer: bytes, at: int, end: int) -> None:
        self.packet = packet
        self._buffer = buffer
        self._at = at
        self._end = end

    @property
    def is_empty(self) -> bool:
        return self._at == self._end

    def byte(self, what: str) -> int:
        return self._buffer[self._skip(1, what)]

    def flag(self, what: str) -> bool:
        value = self.byte(what)
        if value > 1:
            raise self.protocol_error(f"{what} is {value}: only 0 and 1 are allowed")
        return value == 1

    def two_bytes(self, what: str) -> int:
        at = self._skip(2, what)
        return self._buffer[at] << 8 | self._buffer[at + 1]

    def four_bytes(self, what: str) -> int:
        at = self._skip(4, what)
        return int.from_bytes(self._buffer[at : at + 4], "big")

    def variable_integer(self, what: str) -> int:
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.byte(what)
            value |= (byte & 127) << shift
            if byte < 128:
                if byte == 0 and shift:  # [MQTT-1.5.5-1]
                    raise self.malformed(f"{what} is not written in the fewest bytes possible")
                return value
        raise self.malformed(f"{what} is longer than four bytes")

    def binary(self, what: str) -> bytes:
        size = self.two_bytes(what)
        at = self._skip(size, what)
        return self._buffer[at : at + size]

    def rest(self) -> bytes:
        at, self._at = self._at, self._end
        return self._buffer[at : self._end]

    def text(self, what: str) -> str:
        return decode_text(self.packet, self.binary(what), what)

    def packet_id(self) -> int:
        value = self.two_bytes("packet id")
        if not value:  # [MQTT-2.2.1-3], [MQTT-2.2.1-4]; in 3.1.1 [MQTT-2.3.1-1]
            raise self.protocol_error("the packet id is 0")
        return value

    def part(self, size: int, what: str) -> FieldReader:
        """A reader of its own for the next `size` bytes, which are skipped here."""
        at = self._skip(size, what)
        return FieldReader(self.packet, self._buffer, at, at + size)

    def finish(self) -> None:
        if self._at != self._end:
            raise self.malformed(f"{self._end - self._at} bytes too many at the end")

    def malformed(self, message: str) -> PacketError:
        return PacketError(Reason.MALFORMED_PACKET, f"{self.packet}: {message}")

    def protocol_error(self, message: str) -> PacketError:
        return PacketError(Reason.PROTOCOL_ERROR, f"{self.packet}: {message}")

    def _skip(self, size: int, what: str) -> int:
        at = self._at
        if size > self._end - at:
            raise self.malformed(f"the packet ends before its {what} does")
        self._at = at + size
        return at


def decode_text(packet: str, encoded: bytes, what: str) -> str:
    """The text that these bytes of a packet are, else PacketError."""
    try:
        text = encoded.decode()  # strict: no surrogates, no over-long forms [MQTT-1.5.4-1]
    except UnicodeDecodeError:
        raise PacketError(Reason.MALFORMED_PACKET, f"{packet}: the {what} is not UTF-8") from None
    if "\0" in text:  # [MQTT-1.5.4-2]
        message = f"{packet}: the {what} holds a NUL character"
        raise PacketError(Reason.MALFORMED_PACKET, message)
    return text  # a byte order mark stays: it is a character like others [MQTT-1.5.4-3]


def variable_integer(value: int) -> bytes:
    """In as few bytes as possible, at most four [MQTT-1.5.5-1]."""
    if value < 128:
        return value.to_bytes(1, "big")
    if value > MAX_VARIABLE_INTEGER:
        raise PacketError(Reason.PACKET_TOO_LARGE, f"{value} is too much: MQTT counts to 268435455")
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def binary(value: bytes) -> bytes:
    """With its length before it."""
    if len(value) > MAX_FIELD_BYTES:
        raise PacketError(
            Reason.PACKET_TOO_LARGE,
            f"a field of {len(value)} bytes is too long: {MAX_FIELD_BYTES} at most",
        )
    return len(value).to_bytes(2, "big") + value


def text(value: str) -> bytes:
    """As UTF-8, with its length before it."""
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise PacketError(
            Reason.MALFORMED_PACKET, f"{value[:80]!a} holds a surrogate, which is no UTF-8"
        ) from None
    if b"\0" in encoded:
        raise PacketError(Reason.MALFORMED_PACKET, f"{value[:80]!a} holds a NUL character")
    return binary(encoded)
