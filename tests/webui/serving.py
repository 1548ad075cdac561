"""The web application on a real port, with a hub in reach of the test and a link that records."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp

from broker.access import NoUsers, Tokens, Users
from broker.link import Message
from broker.listen import listen
from webui.app import web_application
from webui.auth import Doorkeeper
from webui.authenticator import Authenticator
from webui.cookie import LoginCookie
from webui.door import Door, networks
from webui.history.history import OFF, History
from webui.hub import Hub, HubLimits
from webui.kept import keeps_last_value
from webui.pacer import Pacer
from webui.publishing import publisher
from webui.server import serving_http
from webui.state import WebState

KEY = b"a key of tests, long enough for all"


class RecordingLink:
    """A link that keeps what it is given, or is in trouble."""

    is_up = True
    reason = ""
    waiting = 0

    def __init__(self) -> None:
        self.published: list[Message] = []
        self.trouble: Exception | None = None

    def publish(self, message: Message) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.published.append(message)


@dataclass
class Web:
    """What a test can reach of a running server."""

    port: int
    hub: Hub
    pacer: Pacer
    link: RecordingLink
    state: WebState
    not_ready: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def publish(self, topic: str, *payloads: str | bytes, retain: bool = False) -> None:
        self.hub.publish(
            [
                Message(topic, each if isinstance(each, bytes) else each.encode(), retain=retain)
                for each in payloads
            ],
            1_700_000_000_000,
        )
        self.pacer.news()


@contextlib.asynccontextmanager
async def serving(
    limits: HubLimits | None = None,
    *,
    base_path: str = "",
    around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    users: Users | None = None,
    tokens: Tokens | None = None,
    trusted_proxies: Sequence[str] = (),
    history: History = OFF,
) -> AsyncIterator[Web]:
    """Serve on a free port; `around` may put something between the server and the application."""
    users = users or NoUsers()
    authenticator = Authenticator(users, tokens or Tokens(), LoginCookie(KEY, base_path))
    hub = Hub("e1", keeps_last_value("fieldgate"), limits)
    link = RecordingLink()
    (listening,) = listen("127.0.0.1", 0)
    web = Web(
        listening.getsockname()[1],
        hub,
        Pacer(hub),
        link,
        WebState(
            hub,
            publisher(link),
            "fieldgate",
            lambda: web.not_ready,
            authenticator,
            history=history,
        ),
    )
    door = Door(
        anybody=not users.exist, base_path=base_path, trusted_proxies=networks(trusted_proxies)
    )
    app = Doorkeeper(web_application(web.state, base_path=base_path), authenticator, door)
    async with serving_http(around(app), web.state, [listening]):
        yield web
