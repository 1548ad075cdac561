"""`fieldgate ha …`: what Home Assistant knows of us, as the broker holds it."""

from __future__ import annotations

import asyncio
import getpass
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from broker.link import Endpoint, Link, Message, QoS, Subscription, connect
from gateway.command_line import FAILURE, USAGE, ConfigFile, end
from gateway.config import Config
from gateway.config_file import load
from gateway.errors import ConfigError
from gateway.home_assistant.announcer import config_id, difference, steps
from gateway.home_assistant.discovery import Payload, Site, discovery, parsed, site_of

PATIENCE_S = 10.0
"""How long the broker may take to send what it holds, or to take what it is sent."""

User = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who logs in, where the broker wants a login.")
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Take the password from standard input.")
]

app = typer.Typer(no_args_is_help=True, help="What Home Assistant is told.")


@app.command()
def plan(
    config: ConfigFile = None, user: User = None, password_stdin: PasswordStdin = False
) -> None:
    """Show what the gateway would create, change and remove, against what the broker holds.

    A device's points that the config doesn't list are those of the last run, if the broker has it.
    """
    found = _loaded(config)
    held, devices = _held(found, _login(found, user, password_stdin))
    wanted = discovery(_site(found), devices or _configured(found), held)
    change = difference(held, wanted)
    for sign, names in (("+", change.create), ("~", change.change), ("-", change.remove)):
        for name in names:
            typer.echo(f"{sign} {name}")
    if not (change.create or change.change or change.remove):
        typer.echo(f"Home Assistant knows all {len(held)} devices as they are.")


@app.command()
def clean(
    config: ConfigFile = None, user: User = None, password_stdin: PasswordStdin = False
) -> None:
    """Take all our devices away from Home Assistant, until the gateway starts again.

    For good: take `home_assistant.enabled` away first, and restart the gateway.
    """
    found = _loaded(config)
    endpoint = _login(found, user, password_stdin)
    held, _ = _held(found, endpoint, lambda held: list(steps(_prefix(found), held, {})))
    for name in sorted(held):
        typer.echo(f"- {name}")
    typer.echo(f"{len(held)} devices taken away.")


def _loaded(path: Any) -> Config:
    try:
        return load(path, os.environ)
    except ConfigError as error:
        end(str(error), USAGE)


def _login(config: Config, user: str | None, password_stdin: bool) -> Endpoint:
    endpoint = config.broker.endpoint()
    if user is None:
        return endpoint
    password = sys.stdin.readline().rstrip("\n") if password_stdin else getpass.getpass()
    return replace(endpoint, username=user, password=password)


def _held(
    config: Config,
    endpoint: Endpoint,
    then: Callable[[dict[str, Payload]], Sequence[Message]] = lambda _held: (),
) -> tuple[dict[str, Payload], list[Any]]:
    asking = _Asking(config, endpoint)
    try:
        return asyncio.run(asking.ask(then))
    except TimeoutError:
        end(asking.trouble or f"{endpoint.url} is silent", FAILURE)


def _site(config: Config) -> Site:
    points = {device.id: device.points for device in config.devices}
    only_listed = frozenset(device.id for device in config.devices if device.only_listed)
    return site_of(config.base_topic, config.home_assistant, points, only_listed)


def _prefix(config: Config) -> str:
    return config.home_assistant.discovery_prefix


def _configured(config: Config) -> list[dict[str, object]]:
    return [
        {
            "name": device.name,
            "id": device.id,
            "reader": device.reader.type,
            "points": {name: point.described() for name, point in device.points.items()},
        }
        for device in config.devices
    ]


class _Asking:
    """One short connection: what the broker holds retained comes before what we publish then."""

    def __init__(self, config: Config, endpoint: Endpoint) -> None:
        self._config = config
        self._endpoint = endpoint
        self._site = _site(config)
        self.trouble = ""
        """Why the broker can't be reached, if so."""
        self._sentinel = f"{config.base_topic}/bridge/response/{secrets.token_hex(8)}"
        self._link: Link | None = None
        self._is_complete = asyncio.Event()
        self._held: dict[str, Payload] = {}
        self._devices: list[Any] = []

    async def ask(
        self, then: Callable[[dict[str, Payload]], Sequence[Message]]
    ) -> tuple[dict[str, Payload], list[Any]]:
        filters = [
            f"{_prefix(self._config)}/device/+/config",
            f"{self._config.base_topic}/bridge/devices",
            self._sentinel,
        ]
        opened = connect(
            self._endpoint,
            self,
            role="ha",
            subscriptions=[Subscription(one, QoS.AT_LEAST_ONCE) for one in filters],
        )
        async with asyncio.timeout(PATIENCE_S), opened as link:
            self._link = link
            await self._is_complete.wait()
            for message in then(self._held):
                link.publish(message)
            # Leaving waits until the broker has them.
        return self._held, self._devices

    def link_up(self) -> None:
        assert self._link is not None
        self._link.publish(Message(self._sentinel, b"", QoS.AT_LEAST_ONCE))

    def link_down(self, reason: str) -> None:
        self.trouble = reason

    def receive(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.topic == self._sentinel:
                self._is_complete.set()
            elif message.topic.endswith("/bridge/devices"):
                self._devices = list(_devices(message.payload))
            elif name := config_id(_prefix(self._config), message.topic):
                payload = parsed(message.payload)
                if payload is not None and self._site.owns(payload):
                    self._held[name] = payload


def _devices(payload: bytes) -> Iterator[Any]:
    content = parsed(payload) or {}
    found = content.get("devices")
    yield from found if isinstance(found, list) else ()
