"""Composition: which roles run, how they are joined, and how all of it starts and stops."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import uvloop

from broker.access import Entry, Users, UsersFile, create_with_admin, door, open_users
from broker.errors import AccessError, BrokerError, EngineError
from broker.link import Endpoint
from broker.serving import check_engine, is_loopback, listen, serving
from gateway import __version__
from gateway.config import Config
from gateway.errors import GatewayError
from gateway.hardware import reading
from gateway.instance_lock import locked
from webui.door import Door, networks
from webui.role import serving_web

ROLES = frozenset({"broker", "readers", "web"})
FAILURE, USAGE = 1, 2


def run(config: Config, only: frozenset[str]) -> int:
    """Run the roles in `only`, or all, until SIGINT or SIGTERM; returns the exit code."""
    _set_up_logging(config.log_level)
    _raise_file_limit()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(config, only or ROLES))
    except (EngineError, AccessError) as error:
        return _complain(error, USAGE)
    except (BrokerError, GatewayError, OSError) as error:
        return _complain(error, FAILURE)
    return 0


async def _main(config: Config, roles: frozenset[str]) -> None:
    """Start what is wanted, in the order in which each needs the other; stop in the opposite."""
    ends: set[asyncio.Task[Any]] = {_stop_by_signal()}
    greeting: list[str] = []
    async with AsyncExitStack() as stack:
        for role in sorted(roles):
            stack.enter_context(locked(config.data, role))
        # The web's port is taken first: when it is in use, nobody has connected to a broker yet.
        entrance = stack.enter_context(_entrance(config)) if "web" in roles else None
        endpoint = config.broker.endpoint()
        if "broker" in roles:
            has_users = config.users_path.exists()  # also one that was written just now
            served = await stack.enter_async_context(
                serving(config.broker, has_users=has_users, origins=config.web.origins)
            )
            endpoint = served.endpoint
            greeting += [f"broker  {url}  ({served.name})" for url in served.addresses]
        if entrance is not None:
            await stack.enter_async_context(_web(config, endpoint, entrance))
            greeting.insert(0, f"page    {entrance.url}{config.web.base_path}/")
        if "readers" in roles:
            hardware = reading(config.devices, config.base_topic, endpoint)
            ends.add(await stack.enter_async_context(hardware))
        if line := _line_to_try(endpoint, config.base_topic):
            greeting.append(f"try     {line}")
        print(f"Fieldgate {__version__}", *greeting, sep="\n  ", flush=True)
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in done:
            end.result()


@dataclass(frozen=True, slots=True)
class _Entrance:
    """Where browsers come in, and who may."""

    users: Users
    host: str
    sockets: Sequence[socket.socket]

    @property
    def url(self) -> str:
        port = self.sockets[0].getsockname()[1]
        return f"http://[{self.host}]:{port}" if ":" in self.host else f"http://{self.host}:{port}"


@contextmanager
def _entrance(config: Config) -> Iterator[_Entrance]:
    """Users in force and sockets that listen; where others can come and none exist, an admin."""
    host, port = config.web.address
    users = open_users(config.users_path, named=config.users_file is not None)
    entry = door(
        loopback=is_loopback(host), anonymous=config.broker.anonymous, users_exist=users.exist
    )
    with ExitStack() as stack:
        if entry is Entry.CREATE_USERS:
            check_engine(config.broker, has_users=True)
            password = create_with_admin(config.users_path)
            print(
                f"Wrote {config.users_path}, since {host} is not this machine alone.\n"
                f"  user      admin\n  password  {password}    (shown this once)",
                flush=True,
            )
            users = UsersFile(config.users_path)
        stack.callback(users.close)
        remedy = "stop it, or choose another port with web.listen"
        sockets = [stack.enter_context(each) for each in listen(host, port, remedy=remedy)]
        yield _Entrance(users, host, sockets)


def _web(
    config: Config, endpoint: Endpoint, entrance: _Entrance
) -> AbstractAsyncContextManager[None]:
    return serving_web(
        endpoint,
        entrance.sockets,
        users=entrance.users,
        door=Door(
            anybody=not entrance.users.exist,
            anonymous=config.broker.anonymous,
            origins=tuple(config.web.origins),
            trusted_proxies=networks(config.web.trusted_proxies),
            base_path=config.web.base_path,
        ),
        base_topic=config.base_topic,
        topics=config.web.topics,
    )


def _line_to_try(endpoint: Endpoint, base_topic: str) -> str:
    """What shows the topic tree in a shell; empty where it would need more than one line."""
    parts = urlsplit(endpoint.url)
    if parts.scheme != "mqtt":
        return ""
    login = f" -u '{endpoint.username}' -P …" if endpoint.username else ""
    port = f" -p {parts.port}" if parts.port else ""
    return f"mosquitto_sub -h {parts.hostname}{port}{login} -t '{base_topic}/#' -v"


def _stop_by_signal() -> asyncio.Task[Any]:
    """What ends with the first SIGINT or SIGTERM; a second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    return asyncio.create_task(stop.wait())


def _set_up_logging(level: str) -> None:
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )


def _raise_file_limit() -> None:
    """Each browser and device is a file descriptor; the soft limit is often 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _complain(error: Exception, code: int) -> int:
    print(f"fieldgate: {error}", file=sys.stderr)
    return code
