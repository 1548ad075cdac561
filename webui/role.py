"""The web role: bridge, hub and HTTP server, joined and running."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from broker import link
from broker.access import Users
from broker.link import Endpoint
from webui.app import web_application
from webui.auth import Doorkeeper
from webui.bridge import Bridge, subscriptions
from webui.door import Door
from webui.hub import Hub
from webui.kept import keeps_last_value
from webui.pacer import Pacer
from webui.publishing import publisher
from webui.server import serving_http
from webui.state import USERS_CHANGED, WebState

USERS_CHECK_S = 2.0
"""How soon a changed users file is taken up, for one stat() each time."""


@asynccontextmanager
async def serving_web(
    endpoint: Endpoint,
    sockets: Sequence[socket.socket],
    *,
    users: Users,
    door: Door,
    base_topic: str,
    topics: Sequence[str],
) -> AsyncIterator[None]:
    """Relay the `topics` of the broker at `endpoint` to browsers that come to `sockets`."""
    hub = Hub(epoch=secrets.token_hex(4), keeps=keeps_last_value(base_topic))
    pacer = Pacer(hub)
    bridge = Bridge(hub, pacer, base_topic, node=secrets.token_hex(4))
    wanted = subscriptions(topics, bridge.sentinel_topic)
    async with link.connect(endpoint, bridge, role="web", subscriptions=wanted) as connection:
        bridge.attach(connection)
        state = WebState(hub, publisher(connection), base_topic, bridge.why_not_ready)
        app = Doorkeeper(web_application(state, base_path=door.base_path), users, door)
        async with serving_http(app, state, sockets):
            watching = asyncio.create_task(_watch(users, state))
            try:
                yield
            finally:
                watching.cancel()
                await asyncio.wait([watching])


async def _watch(users: Users, state: WebState) -> None:
    """Take up a changed users file, and let everybody come back as who they are now."""
    while True:
        await asyncio.sleep(USERS_CHECK_S)
        if await users.reload_if_changed():
            state.end_sessions(USERS_CHANGED, "the users or their rules have changed")
