"""What a serial port says, frame by frame, and what a decoder makes of it: `fieldgate monitor`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping

from gateway.byte_text import printable
from gateway.decoders import AnyDecoder, build
from gateway.decoders.csv import CsvConfig
from gateway.decoders.json import JsonConfig
from gateway.decoders.key_value import KeyValueConfig
from gateway.errors import DecodeError
from gateway.framers import JOINING, AnyFraming, LineConfig, Rejects
from gateway.framers import build as build_framer
from gateway.measurement import Value
from gateway.readers.reader import BytePort
from gateway.readers.serial_config import SerialConfig
from gateway.section import Section

QUIET_S = 5.0
"""After so long without a line, one hint: instruments that speak at all mostly speak by then."""

MAX_COLUMNS = 64

LINES = LineConfig(type="line")


class Monitor:
    """Reads a port until it is gone; publishes nothing.

    Without a decoder, each frame is shown as the first one sees it that fits.
    """

    def __init__(
        self, port: BytePort, decoder: AnyDecoder | None, framing: AnyFraming = LINES
    ) -> None:
        self._port = port
        self._chosen = decoder
        self._rejects = Rejects()
        self._framer = build_framer(framing, self._rejects)
        self.fitting: AnyDecoder | None = decoder
        """The decoder that fitted last."""

    @property
    def rejected(self) -> Mapping[str, int]:
        """How many frames were bad, by reason."""
        return self._rejects.counts

    def watch(self, say: Callable[[str], None], hint: Callable[[str], None]) -> None:
        """Say each frame, good or bad; returns never. Raises ReaderError when the port is gone."""
        self._port.open()
        hint("Listening; Ctrl-C ends.")
        heard, since = 0, time.monotonic()
        quiet = True
        while True:
            known_bad, was_quiet = self._rejects.total, quiet
            chunk = self._port.read(self._framer.pause_s)
            heard += len(chunk)
            for frame in self._framer.feed(chunk) if chunk else self._framer.silence():
                quiet = False
                say(self.line(frame))
            if news := self._rejects.total - known_bad:
                for bad in self._rejects.last[-news:]:
                    if not was_quiet or bad.reason not in JOINING:
                        say(f"{printable(bad.content)}  ->  bad: {bad.why}")
            if quiet and time.monotonic() - since > QUIET_S:
                quiet = False
                hint(_why_quiet(heard))

    def line(self, frame: bytes) -> str:
        """One frame as it came, and what is in it."""
        return f"{printable(frame)}  ->  {self._meaning(frame)}"

    def _meaning(self, frame: bytes) -> str:
        if self._chosen is not None:
            try:
                fields = build(self._chosen).decode(frame)
            except DecodeError as error:
                return f"{self._chosen.type}: {error}"
            return _named(self._chosen, fields)
        for config in candidates(frame):
            try:
                fields = build(config).decode(frame)
            except DecodeError:
                continue
            self.fitting = config
            return _named(config, fields)
        return "no decoder fits by itself: try --decoder regex --pattern '(?P<name>...)'"


def candidates(frame: bytes) -> Iterator[AnyDecoder]:
    """The decoders that need no knowledge of the device, the strictest first."""
    yield JsonConfig(type="json")
    yield KeyValueConfig(type="key_value")
    for delimiter in (";", "\t", ","):
        if 0 < (count := frame.count(delimiter.encode())) < MAX_COLUMNS:
            columns = [f"column_{number}" for number in range(1, count + 2)]
            yield CsvConfig(type="csv", columns=columns, delimiter=delimiter)


def device_lines(port: SerialConfig, decoder: AnyDecoder, framing: AnyFraming = LINES) -> str:
    """The lines of fieldgate.yaml that read this port."""
    cut = "" if framing == LINES else f"    framing: {_flow(framing)}\n"
    return (
        f"devices:\n  - name: my_device\n    reader: {_flow(port)}\n{cut}"
        f"    decoder: {_flow(decoder)}\n"
    )


def _flow(section: Section) -> str:
    return json.dumps(section.model_dump(exclude_defaults=True))  # JSON is YAML


def _named(config: AnyDecoder, fields: Mapping[str, Value]) -> str:
    pairs = ", ".join(
        f"{printable(name.encode(errors='replace'))}={json.dumps(value)}"
        for name, value in fields.items()
    )
    return f"{config.type}: {pairs}"


def _why_quiet(heard: int) -> str:
    if not heard:
        return "Nothing came so far: is the cable right, and does the device speak by itself?"
    return f"{heard} bytes came, but no whole frame: are baudrate and framing right?"
