"""Composition: which roles run, how they are joined, and how all of it starts and stops."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from broker import link
from broker.access import Tokens, TokensFile, Users, UsersFile, create_with_admin, open_users
from broker.errors import AccessError, BrokerError, EngineError
from broker.link import Connect, Endpoint
from broker.serving import Attach, check_apart, check_entrances, listen, netloc, serving
from gateway import __version__
from gateway.config import ROLES, TOKENS_FILE, Config
from gateway.errors import GatewayError
from gateway.hardware import reading
from gateway.instance_lock import locked
from webui.door import Door, networks
from webui.errors import HistoryError, KeyFileError
from webui.history.data_folder import HistorySettings, open_history
from webui.history.history import History
from webui.history.series import RecordedTopics
from webui.key_file import read_or_make_key
from webui.presence import node_name
from webui.role import serving_web

FAILURE, USAGE = 1, 2

USERS_CHECK_S = 2.0
"""How soon changed users or tokens are taken up, for a stat() of each file every time."""


def run(config: Config, only: frozenset[str]) -> int:
    """Run the roles in `only`, or all, until SIGINT or SIGTERM; returns the exit code."""
    _set_up_logging(config.log_level)
    _raise_file_limit()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_main(config, only or ROLES))
    except asyncio.CancelledError:  # stopped before it was up
        return 0
    except (EngineError, AccessError, KeyFileError, HistoryError) as error:
        return _complain(error, USAGE)
    except (BrokerError, GatewayError, OSError) as error:
        return _complain(error, FAILURE)
    return 0


async def _main(config: Config, roles: frozenset[str]) -> None:
    """Start what is wanted, in the order in which each needs the other; stop in the opposite."""
    stop = _Stop()
    ends: set[asyncio.Task[Any]] = {stop.task}
    greeting: list[str] = []
    async with AsyncExitStack() as stack:
        for role in sorted(roles):
            stack.enter_context(locked(config.data, role))
        # The web's port is taken first: when it is in use, nothing has been written or begun.
        sockets = _web_sockets(config, stack) if "web" in roles else []
        users = _users(config, roles)
        stack.callback(users.close)
        tokens = TokensFile(config.data / TOKENS_FILE) if "web" in roles else Tokens()
        if "broker" not in roles:
            check_apart(config.broker, users)
        endpoint = config.broker.endpoint()
        connect: Connect = partial(link.connect, endpoint)
        attach: Attach | None = None
        if "broker" in roles:
            served = await stack.enter_async_context(
                serving(
                    config.broker,
                    users=users,
                    origins=config.web.origins,
                    data=config.data,
                    base_topic=config.base_topic,
                )
            )
            endpoint, connect, attach = served.endpoint, served.connect, served.attach
            greeting += [f"broker  {url}  ({served.name})" for url in served.addresses]
        if "web" in roles:
            history = await stack.enter_async_context(_history(config))
            web = _web(config, connect, attach, users, tokens, sockets, history)
            await stack.enter_async_context(web)
            greeting.insert(0, f"page    {_page_url(config, sockets)}")
        if "readers" in roles:
            hardware = reading(
                config.devices, config.base_topic, connect, endpoint.url, config.home_assistant
            )
            ends.add(await stack.enter_async_context(hardware))
        ends.add(asyncio.create_task(_watch(users, tokens)))
        if line := _line_to_try(endpoint, config.base_topic, users):
            greeting.append(f"try     {line}")
        stop.is_starting = False
        print(f"Fieldgate {__version__}", *greeting, sep="\n  ", flush=True)
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in done:
            end.result()


def _users(config: Config, roles: frozenset[str]) -> Users:
    """The users in force; where others can come in and none exist, an admin is made."""
    needy = check_entrances(
        config.broker, config.entrances(roles), users_exist=config.users_path.exists()
    )
    if not needy:
        return open_users(config.users_path, named=config.users_file is not None)
    password = create_with_admin(config.users_path)
    print(
        f"Wrote {config.users_path}, since others can come in by {' and '.join(needy)}.\n"
        f"  user      admin\n  password  {password}    (shown this once)",
        flush=True,
    )
    return UsersFile(config.users_path)


async def _watch(users: Users, tokens: Tokens) -> None:
    """Take up changed files of users and tokens."""
    while True:
        await asyncio.sleep(USERS_CHECK_S)
        await users.reload_if_changed()
        await tokens.reload_if_changed()


def _web_sockets(config: Config, stack: AsyncExitStack) -> list[socket.socket]:
    remedy = "Stop it, or choose another port with web.listen"
    sockets = listen(*config.web.address, remedy=remedy)
    return [stack.enter_context(each) for each in sockets]


def _page_url(config: Config, sockets: Sequence[socket.socket]) -> str:
    host = _reachable(config.web.address[0])
    address = netloc(host, sockets[0].getsockname()[1])
    return f"http://{address}{config.web.base_path}/"


def _web(
    config: Config,
    connect: Connect,
    attach: Attach | None,
    users: Users,
    tokens: Tokens,
    sockets: Sequence[socket.socket],
    history: History,
) -> AbstractAsyncContextManager[None]:
    return serving_web(
        connect,
        sockets,
        users=users,
        tokens=tokens,
        key=read_or_make_key(config.data / "web.secret") if users.exist else None,
        door=Door(
            anybody=not users.exist,
            anonymous=config.broker.anonymous,
            origins=tuple(config.web.origins),
            trusted_proxies=networks(config.web.trusted_proxies),
            base_path=config.web.base_path,
        ),
        base_topic=config.base_topic,
        topics=config.web.topics,
        node=config.web.node or node_name(socket.gethostname(), sockets[0].getsockname()[1]),
        version=__version__,
        attach=attach,
        history=history,
    )


def _history(config: Config) -> AbstractAsyncContextManager[History]:
    wanted = config.history
    topics = tuple(RecordedTopics(each.topic, tuple(each.fields)) for each in wanted.topics)
    settings = HistorySettings(topics, wanted.raw_days, wanted.size_mb * 1_000_000)
    return open_history(config.data, settings, config.base_topic)


def _reachable(host: str) -> str:
    """A name to come to: for a listener on all addresses, this machine's."""
    return socket.gethostname() if host in ("0.0.0.0", "::") else host


def _line_to_try(endpoint: Endpoint, base_topic: str, users: Users) -> str:
    """What shows the topic tree in a shell; empty where it would need more than one line."""
    parts = urlsplit(endpoint.url)
    if parts.scheme != "mqtt":
        return ""
    name = endpoint.username or ("NAME" if users.exist else "")
    login = f" -u '{name}' -P PASSWORD" if name else ""
    host = "127.0.0.1" if parts.hostname in ("0.0.0.0", "::") else parts.hostname
    port = f" -p {parts.port}" if parts.port else ""
    return f"mosquitto_sub -h {host}{port}{login} -t '{base_topic}/#' -v"


class _Stop:
    """The first SIGINT or SIGTERM ends `task`, or the start where that is still going on.

    A second one ends the process at once.
    """

    def __init__(self) -> None:
        self.is_starting = True
        self._event = asyncio.Event()
        self._main = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self.task = asyncio.create_task(self._event.wait())
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(number)
        self._event.set()
        if self.is_starting and self._main is not None:
            self._main.cancel()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's where it exists, which spends less on each socket."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


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
    with suppress(ValueError, OSError):  # macOS has a lower bound that it doesn't tell
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _complain(error: Exception, code: int) -> int:
    print(f"fieldgate: {error}", file=sys.stderr)
    return code
