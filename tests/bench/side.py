"""The sides that are compared: each takes MQTT in at a port and has WebSocket sessions."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil

from tests.bench.outlet import Outlet, mqtt_outlet
from tests.mqtt_packets import connect, subscribe
from tests.program import Program, running
from tests.real_ends import Mosquitto, free_port, is_listening, mosquitto, wait_until
from tests.serial_line import SerialLine, serial_line

TUNED = ("set_tcp_nodelay true", "max_queued_messages 0")
"""Mosquitto at its best: no waiting for more to send, and nothing dropped at 1,000 waiting."""

NUDGE = b"\xc0\x00" * 50
"""PINGREQs. Mosquitto 2.0 gives each WebSocket session one packet a turn of its loop, and turns it
only for what comes by TCP or ten times a second: without this, what is queued when the publisher
pauses would trickle out."""

TEXT, BINARY = 1, 2
"""Opcodes of WebSocket frames."""

Step = tuple[bytes, bytes]
"""What is sent, and the bytes that answer it."""

Opening = Callable[[Sequence[str], bool], Sequence[Step]]
"""How a session begins to watch filters; true for one that wants what was before."""


@dataclass(frozen=True, slots=True)
class Side:
    """A running side. `processes` are all its servers, the one with the sessions first."""

    name: str
    mqtt_port: int
    web_port: int
    processes: tuple[psutil.Process, ...]
    opening: Opening
    nudge: bytes = b""
    """What a publisher sends while it waits for the sessions."""

    line: SerialLine | None = None
    """The serial line of the device `line`."""

    open_outlet: Callable[[int], AbstractAsyncContextManager[Outlet]] = mqtt_outlet
    """How messages get to `mqtt_port`."""


def handshake(path: str, *extra_lines: str) -> tuple[Step, ...]:
    """The steps to an open WebSocket at this path [RFC 6455 4.1]."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *extra_lines,
    ]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    return ((request, b"HTTP/1.1 101"), (b"", b"\r\n\r\n"))


def client_frame(opcode: int, content: bytes) -> bytes:
    """A whole WebSocket frame, masked by zeros, which any server takes [RFC 6455 5.3]."""
    size = len(content)
    if size < 126:
        head = bytes([0x80 | opcode, 0x80 | size])
    else:
        head = bytes([0x80 | opcode, 0xFE]) + size.to_bytes(2, "big")
    return head + bytes(4) + content


def _fieldgate_opening(filters: Sequence[str], newcomer: bool) -> Sequence[Step]:
    frame = {"op": "subscribe", "filters": list(filters)} | ({} if newcomer else {"since": "now"})
    asked = client_frame(TEXT, json.dumps(frame).encode())
    return (*handshake("/api/ws"), (asked, b'"subscribed"'))


def _mosquitto_opening(filters: Sequence[str], _newcomer: bool) -> Sequence[Step]:
    client_id = f"bench-{secrets.token_hex(6)}"
    asked = [subscribe(each, packet_id=number) for number, each in enumerate(filters, 1)]
    last = b"\x90\x03" + len(filters).to_bytes(2, "big") + b"\x00"
    return (
        *handshake("/mqtt", "Sec-WebSocket-Protocol: mqtt"),
        (client_frame(BINARY, b"".join([connect(client_id), *asked])), last),
    )


@contextmanager
def mosquitto_web(folder: Path) -> Iterator[Side]:
    """Mosquitto alone: publishers come by TCP, sessions to its own WebSocket listener."""
    port = free_port()
    lines = [*TUNED, f"listener {port} 127.0.0.1", "protocol websockets"]
    with mosquitto(folder, *lines) as broker:
        wait_until(lambda: is_listening(port), "mosquitto listens for WebSockets")
        yield Side(
            name="Mosquitto",
            mqtt_port=broker.port,
            web_port=port,
            processes=(process_in(folder),),
            opening=_mosquitto_opening,
            nudge=NUDGE,
        )


@contextmanager
def fieldgate_web(folder: Path) -> Iterator[Side]:
    """Fieldgate's web role beside a Mosquitto."""
    with mosquitto(folder, *TUNED) as broker:
        external = process_in(folder)
        with running(folder, _external(broker), "--only", "web") as program:
            yield _fieldgate(program, broker.port, external)


@contextmanager
def fieldgate_embedded(folder: Path, config: str = "", name: str = "Fieldgate") -> Iterator[Side]:
    """Fieldgate with the broker inside."""
    with running(folder, config, "--only", "broker", "--only", "web") as program:
        yield replace(_fieldgate(program, program.broker_port), name=name)


@contextmanager
def fieldgate_whole(folder: Path) -> Iterator[Side]:
    """Fieldgate with everything inside, and a device `line` on a pty."""
    with serial_line(folder) as line:
        config = (
            "devices:\n- name: line\n"
            f"  reader: {{type: serial, port: {line.path}}}\n  decoder: {{type: key_value}}\n"
        )
        with running(folder, config) as program:
            yield replace(_fieldgate(program, program.broker_port), line=line)


def _external(broker: Mosquitto) -> str:
    return f"broker: {{engine: external, url: '{broker.url}'}}\n"


def _fieldgate(program: Program, mqtt_port: int, *others: psutil.Process) -> Side:
    url = program.page_url
    wait_until(lambda: httpx.get(f"{url}/health/ready").status_code == 200, f"{url} is ready")
    return Side(
        name="Fieldgate",
        mqtt_port=mqtt_port,
        web_port=int(url.rpartition(":")[2]),
        processes=(psutil.Process(program.pid), *others),
        opening=_fieldgate_opening,
    )


def process_in(folder: Path) -> psutil.Process:
    """The Mosquitto that we started in a folder."""
    return next(
        child
        for child in psutil.Process().children()
        if any(word.startswith(f"{folder}/") for word in child.cmdline())
    )
