"""Serving the web application on sockets of ours, by uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from webui.frame_slices import SlicedWebSocketProtocol
from webui.state import WebState
from webui.wire import MAX_REQUEST_BYTES

STOP_S = 3
"""How long open requests may take to end when the server stops."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the program decides when everything stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving_http(
    app: ASGIApp, state: WebState, sockets: Sequence[socket.socket]
) -> AsyncIterator[None]:
    """Serve until the context ends; streams are then told to come back, and sockets closed."""
    config = uvicorn.Config(
        app,
        # Pings find peers that went without a word; one that stopped reading is found by
        # TCP_USER_TIMEOUT on the listening socket, since a ping waits behind the full buffer.
        ws=SlicedWebSocketProtocol,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        ws_max_size=MAX_REQUEST_BYTES,
        ws_per_message_deflate=False,  # 26 kB a session against 59
        timeout_graceful_shutdown=STOP_S,
        proxy_headers=False,  # who somebody is behind a proxy is the doorkeeper's to judge
        server_header=False,
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=list(sockets)))
    try:
        while not server.started:
            if serving.done():
                serving.result()
                raise RuntimeError("the web server ended before it began")
            await asyncio.sleep(0.005)
        yield
    finally:
        state.stop()
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving
