"""A client that says it is done and never reads the rest is let go of, by whatever way it came."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import uvloop
from websockets.asyncio.client import connect as websocket
from websockets.typing import Subprotocol

from tests.broker.native.listening import Listening, listening
from tests.mqtt_packets import connect, connected, publish, subscribe
from tests.real_ends import until

SCHEMES = ["mqtt", "mqtts", "ws", "wss"]
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
NewLoop = Callable[[], asyncio.AbstractEventLoop]


class FrozenClient:
    """Speaks, but doesn't read any more; below it there is TCP with a small buffer."""

    def __init__(self, transport: asyncio.BaseTransport, write: Callable[[bytes], object]) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._write = write

    def freeze(self) -> None:
        self._transport.pause_reading()

    async def send(self, data: bytes) -> None:
        sent = self._write(data)
        if asyncio.iscoroutine(sent):
            await sent

    def half_close(self) -> None:
        """End its side of TCP, whatever runs above it."""
        sock = self._transport.get_extra_info("socket")
        own = socket.socket(fileno=socket.dup(sock.fileno()))
        with own:
            own.shutdown(socket.SHUT_WR)


@asynccontextmanager
async def frozen(broker: Listening, scheme: str, ca: Path) -> AsyncIterator[FrozenClient]:
    """A subscriber to `flood` that reads no more."""
    tls = ssl.create_default_context(cafile=str(ca)) if scheme in ("mqtts", "wss") else None
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", broker.ports[0]))
    said = connect("frozen") + subscribe("flood")
    name = "127.0.0.1" if tls else None
    if scheme.startswith("mqtt"):
        reader, writer = await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name)
        writer.write(said)
        while not (await reader.read(100)).endswith(b"\x90\x03\x00\x01\x00"):
            pass
        client = FrozenClient(writer.transport, writer.write)
        client.freeze()
        try:
            yield client
        finally:
            writer.transport.abort()
        return
    url = broker.urls[0]
    page = await websocket(
        url,
        sock=sock,
        ssl=tls,
        server_hostname=name,
        subprotocols=[Subprotocol("mqtt")],
        proxy=None,
    )
    await page.send(said)
    while not (await page.recv(decode=False)).endswith(b"\x90\x03\x00\x01\x00"):
        pass
    client = FrozenClient(page.transport, page.send)
    client.freeze()
    try:
        yield client
    finally:
        page.transport.abort()
        await page.wait_closed()


async def gone_soon(scheme: str, certificates: Path) -> None:
    async with (
        listening(scheme, "mqtt", certificates=certificates) as broker,
        frozen(broker, scheme, certificates / "ca.pem") as client,
        connected(broker.ports[1], "publisher") as publisher,
    ):
        core = broker.engine.core
        while not core.census().dropped:  # until nothing more goes in
            await publisher.send(*[publish("flood", bytes(10_000))] * 100)
            assert await publisher.ping() == []
        client.half_close()
        await until(lambda: broker.counters.open == 1, "it is gone", deadline_s=10.0)
        assert core.census().clients == 1


@pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_subscriber_that_says_it_is_done_and_never_reads_the_rest_is_gone_soon(
    scheme: str, new_loop: NewLoop, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if new_loop is uvloop.new_event_loop and scheme in ("mqtts", "wss"):
        # uvloop's TLS closes without a word to us, so that it takes as long as TCP waits.
        monkeypatch.setattr("broker.listen.USER_TIMEOUT_MS", 1000)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(gone_soon(scheme, certificates))


async def counted(scheme: str, certificates: Path) -> None:
    async with (
        listening(scheme, "mqtt", certificates=certificates) as broker,
        connected(broker.ports[1], "watcher") as watcher,
        frozen(broker, scheme, certificates / "ca.pem") as client,
    ):
        await watcher.subscribe("last/#")
        await client.send(b"".join(publish(f"last/{number}", bytes(1000)) for number in range(500)))
        client.half_close()
        for number in range(500):
            assert (await watcher.read()).topic == f"last/{number}"
        await until(lambda: broker.counters.open == 1, "it is gone")


@pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("scheme", ["mqtt", "ws"])  # without TLS's own goodbye, TLS is cut off
def test_all_that_it_sent_before_counts(scheme: str, new_loop: NewLoop, certificates: Path) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(counted(scheme, certificates))
