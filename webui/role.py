"""The web role: bridge, hub and HTTP server, joined and running."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from broker.access import Tokens, Users
from broker.link import Connect, Link
from broker.serving import Attach
from webui.app import web_application
from webui.auth import Doorkeeper
from webui.authenticator import Authenticator
from webui.bridge import Bridge, subscriptions
from webui.cookie import LoginCookie
from webui.door import Door
from webui.history.history import OFF, History
from webui.hops import Hops
from webui.hub import Hub
from webui.kept import keeps_last_value
from webui.metric_sources import (
    history_metrics,
    hub_metrics,
    link_metrics,
    reader_metrics,
    session_metrics,
)
from webui.metrics import register
from webui.pacer import Pacer
from webui.presence import PERIOD_S, PresenceTeller, will
from webui.publishing import publisher
from webui.server import serving_http
from webui.state import WebState


@asynccontextmanager
async def serving_web(
    connect: Connect,
    sockets: Sequence[socket.socket],
    *,
    users: Users,
    tokens: Tokens,
    key: bytes | None = None,
    door: Door,
    base_topic: str,
    topics: Sequence[str],
    node: str,
    version: str,
    attach: Attach | None = None,
    history: History = OFF,
) -> AsyncIterator[None]:
    """Relay the `topics` of a broker to browsers that come to `sockets`.

    `node` is this web server's name among all that use one broker, `version` Fieldgate's. `key`
    signs the cookies of those who log in, so nodes with the same one share their logins; without
    one, logins end with this process. `attach` takes MQTT over `/mqtt` to a broker in this
    process; without it there is no `/mqtt`.
    """
    hub = Hub(epoch=secrets.token_hex(4), keeps=keeps_last_value(base_topic))
    hops = Hops()
    pacer = Pacer(hub, hops.delivered)
    bridge = Bridge(hub, pacer, base_topic, node, history, hops.health_came)
    wanted = subscriptions(topics, bridge.sentinel_topic)
    gone = will(base_topic, node)
    async with connect(bridge, role="web", subscriptions=wanted, will=gone) as link:
        bridge.attach(link)
        authenticator = Authenticator(
            users, tokens, LoginCookie(key or secrets.token_bytes(32), door.base_path)
        )
        state = WebState(
            hub,
            publisher(link),
            base_topic,
            bridge.why_not_ready,
            authenticator,
            attach,
            topics,
            node,
            version,
            history=history,
        )
        sources = (
            hub_metrics(hub),
            session_metrics(state.roster),
            link_metrics(bridge),
            reader_metrics(hub.last_payload, base_topic),
            history_metrics(history.snapshot),
        )
        hops.register(state.metrics)
        register(sources, state.metrics, version=version)
        app = Doorkeeper(web_application(state, base_path=door.base_path), authenticator, door)
        state.watch_access()
        presence = PresenceTeller(base_topic, node, state.roster)
        telling = asyncio.create_task(_tell(presence, bridge, state, link))
        try:
            async with serving_http(app, state, sockets):
                yield
        finally:
            telling.cancel()
            await asyncio.wait([telling])
            state.audit.tell(link)
            presence.farewell(link)


async def _tell(presence: PresenceTeller, bridge: Bridge, state: WebState, link: Link) -> None:
    while True:
        held = state.hub.last_payload(presence.topic)
        presence.tick(link, link_ups=bridge.link_ups, held=held)
        state.audit.tell(link)
        await asyncio.sleep(PERIOD_S)
