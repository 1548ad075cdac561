"""The peer nchan: nginx with Debian's nchan module, fed by HTTP and read by WebSocket.

It knows channels, no topics: what goes to `bench/x/…` is one channel, `bench/x`, as if somebody
watched `bench/x/#`; but each topic below `bench/own` is a channel of its own.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.bench.outlet import Outlet
from tests.bench.side import Side, Step, handshake
from tests.real_ends import DEADLINE_S, free_port, is_listening, program, until, wait_until

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")

_CONFIG = """
load_module {module};
daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_body_buffer_size 128k;
  keepalive_requests 1000000000;
  nchan_shared_memory_size 1024M;
  nchan_message_buffer_length 10000;
  nchan_message_timeout 60s;
  server {{
    listen 127.0.0.1:{port};
    nchan_channel_id $1;
    location ~ ^/publish/(bench/own/[0-9]+)$ {{ nchan_publisher http; }}
    location ~ ^/publish/(bench/[a-z]+)/ {{ nchan_publisher http; }}
    location ~ ^/newest/(.+)$ {{
      nchan_subscriber websocket;
      nchan_subscriber_first_message newest;
      nchan_channel_id_split_delimiter ",";
    }}
    location ~ ^/oldest/(.+)$ {{
      nchan_subscriber websocket;
      nchan_subscriber_first_message oldest;
    }}
  }}
}}
"""
"""It keeps more
messages than are on their way at most, and as many as a newcomer is given."""


@contextmanager
def nchan_web(folder: Path) -> Iterator[Side]:
    nginx = program("nginx")
    if not MODULE.exists():
        pytest.skip("nginx has no nchan: see .ci/run for the package that brings it")
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(module=MODULE, folder=folder, port=port))
    errors = ["-e", str(folder / "nginx.log")]
    with subprocess.Popen([nginx, "-c", str(config), *errors]) as process:
        try:
            master = psutil.Process(process.pid)
            wait_until(lambda: is_listening(port) and master.children(), "nginx listens")
            yield Side(
                name="nchan",
                mqtt_port=port,
                web_port=port,
                processes=(*master.children(), master),
                opening=_opening,
                open_outlet=_http_outlet,
            )
        finally:
            process.terminate()


def _opening(filters: Sequence[str], newcomer: bool) -> Sequence[Step]:
    channels = ",".join(topic_filter.removesuffix("/#") for topic_filter in filters)
    return handshake(f"/{'oldest' if newcomer else 'newest'}/{channels}")


class _HttpOutlet(asyncio.Protocol):
    """One connection with requests in a row; an answer is only counted."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting = 0
        self._rest = b""
        self._is_writable = asyncio.Event()
        self._is_writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is none by class

    def pause_writing(self) -> None:
        self._is_writable.clear()

    def resume_writing(self) -> None:
        self._is_writable.set()

    def data_received(self, data: bytes) -> None:
        joined = self._rest + data
        self._waiting -= joined.count(_ANSWER)
        self._rest = joined[1 - len(_ANSWER) :]

    def packet(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> bytes:
        """A message is its topic and the payload; an empty one clears the channel."""
        if retain and not payload:
            return f"DELETE /publish/{topic} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        content = f"{topic} ".encode() + payload
        head = f"POST /publish/{topic} HTTP/1.1\r\nHost: localhost\r\n"
        return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content

    async def send(self, *packets: bytes) -> None:
        assert self._transport is not None
        self._waiting += len(packets)
        self._transport.write(b"".join(packets))
        async with asyncio.timeout(DEADLINE_S):
            await self._is_writable.wait()

    async def taken(self) -> None:
        await until(lambda: self._waiting == 0, "nchan answers all requests")


_ANSWER = b"HTTP/1.1 "


@asynccontextmanager
async def _http_outlet(port: int) -> AsyncIterator[Outlet]:
    loop = asyncio.get_running_loop()
    transport, outlet = await loop.create_connection(_HttpOutlet, "127.0.0.1", port)
    try:
        yield outlet
    finally:
        transport.abort()
