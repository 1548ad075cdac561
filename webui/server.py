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

from webui.outlet import OutletProtocol
from webui.state import WebState
from webui.wire import MAX_REQUEST_BYTES

PING_S, PING_TIMEOUT_S = 20.0, 20.0
"""How often a WebSocket is asked whether it lives, and how long it may take to answer."""

STOP_S = 3
"""How long open requests may take to end when the server stops."""

DRAIN_PER_S = 2_000
DRAIN_S = 3.0
"""So many sessions a second are sent away when the server stops, all of them within so long: those
who come back at once, perhaps to another node, don't all come in the same moment."""


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
        ws=OutletProtocol,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_TIMEOUT_S,
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
        await _drain(state)
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving


async def _drain(state: WebState) -> None:
    """Let nobody in any more, and send all sessions away; those that don't read stay."""
    roster = state.roster
    spread_s = min(DRAIN_S, len(roster) / DRAIN_PER_S)
    state.stop(spread_s=spread_s)
    left_s = spread_s
    while len(roster) and left_s > 0:
        await asyncio.sleep(min(0.05, left_s))
        left_s -= 0.05
