"""Composition: which roles run, how they are joined, and how all of it starts and stops."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import uvloop

from broker.access import Entry, NoUsers, Users, UsersFile, create_with_admin, door, open_users
from broker.errors import AccessError, BrokerError, EngineError
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
    stop = _stop_by_signal()
    async with AsyncExitStack() as stack:
        for role in sorted(roles):
            stack.enter_context(locked(config.data, role))
        users: Users = NoUsers()
        if "web" in roles:
            host, port = config.web.address
            users = stack.enter_context(_users(config, host))
            sockets = listen(
                host,
                port,
                remedy="stop it, or choose another port with web.listen",
            )
        endpoint, greeting = config.broker.endpoint(), []
        if "broker" in roles:
            served = await stack.enter_async_context(
                serving(config.broker, has_users=users.exist, origins=config.web.origins)
            )
            endpoint = served.endpoint
            greeting += [f"broker  {url}  ({served.name})" for url in served.addresses]
        waiting: set[asyncio.Task[Any]] = {asyncio.create_task(stop.wait())}
        if "web" in roles:
            await stack.enter_async_context(
                serving_web(
                    endpoint,
                    sockets,
                    users=users,
                    door=Door(
                        anybody=not users.exist,
                        anonymous=config.broker.anonymous,
                        origins=tuple(config.web.origins),
                        trusted_proxies=networks(config.web.trusted_proxies),
                        base_path=config.web.base_path,
                    ),
                    base_topic=config.base_topic,
                    topics=config.web.topics,
                )
            )
            port = sockets[0].getsockname()[1]
            greeting.insert(0, f"page    http://{_netloc(host, port)}{config.web.base_path}/")
        if "readers" in roles:
            waiting.add(
                await stack.enter_async_context(
                    reading(config.devices, config.base_topic, endpoint)
                )
            )
        parts = urlsplit(endpoint.url)
        greeting.append(
            f"try     mosquitto_sub -h {parts.hostname} -p {parts.port}"
            f" -t '{config.base_topic}/#' -v"
        )
        print(f"Fieldgate {__version__}", *greeting, sep="\n  ", flush=True)
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


@contextmanager
def _users(config: Config, host: str) -> Iterator[Users]:
    """The users in force on the HTTP port; created where it is open to others and has none."""
    named = config.users_file is not None
    path = config.users_path
    users = open_users(path, named=named)
    entry = door(
        loopback=is_loopback(host), anonymous=config.broker.anonymous, users_exist=users.exist
    )
    if entry is Entry.CREATE_USERS:
        check_engine(config.broker, has_users=True)
        password = create_with_admin(path)
        print(
            f"Wrote {path}, since {host} is not this machine alone.\n"
            f"  user      admin\n  password  {password}    (shown this once)",
            flush=True,
        )
        users = UsersFile(path)
    try:
        yield users
    finally:
        users.close()


def _stop_by_signal() -> asyncio.Event:
    """An event that the first SIGINT or SIGTERM sets; a second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    return stop


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
