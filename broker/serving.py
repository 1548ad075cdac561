"""The broker that this program uses: `async with serving(config) as broker`.

Whatever the engine, what comes out has the same members; engine `external` is a broker that
starts and stops nothing. Also here, for the other packages: how to listen on a TCP port.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from broker.access import ANONYMOUS, Entry, NoUsers, Users, door
from broker.attachment import Attach, Attached
from broker.config import BrokerConfig
from broker.errors import EngineError, ListenError
from broker.link import Connect, Endpoint, connect
from broker.listen import is_loopback, listen, netloc
from broker.tls import ServerCertificate

__all__ = [
    "Attach",
    "Attached",
    "ListenError",
    "ServedBroker",
    "check_apart",
    "check_engine",
    "check_entrances",
    "is_loopback",
    "listen",
    "netloc",
    "serving",
]


@dataclass(frozen=True, slots=True)
class ServedBroker:
    """A broker that can be connected to now."""

    name: str
    """For people: `native`, `amqtt 0.12.1`, `external`."""

    endpoint: Endpoint
    """Where others connect, with the port that was really taken."""

    connect: Connect
    """How our own links connect."""

    addresses: list[str]
    """The urls at which everybody else reaches it."""

    attach: Attach | None = None
    """How MQTT over the web port gets in; None where the engine can't or is elsewhere."""


@asynccontextmanager
async def serving(
    config: BrokerConfig,
    *,
    users: Users | None = None,
    origins: Collection[str] = (),
    data: Path | None = None,
    base_topic: str = "",
) -> AsyncIterator[ServedBroker]:
    """Run the engine that the config names.

    `users` are those in force, none where everybody may do everything; `origins` are the sites
    beside our own whose pages may use a ws:// listener; `data` is the folder in which the native
    engine keeps what outlives the process, and `base_topic` what our own states lie under, which
    are not true any more after a crash. Raises EngineError and ListenError.
    """
    users = users or NoUsers()
    check_engine(config, has_users=users.exist)
    match config.engine:
        case "external":
            endpoint = config.endpoint()
            yield ServedBroker("external", endpoint, partial(connect, endpoint), [endpoint.url])
        case "native":
            from broker.native import engine

            certificate = _certificate(config)
            async with (
                certificate.watched() if certificate else nullcontext(),
                engine.running(
                    config.listeners,
                    users,
                    anonymous=config.anonymous,
                    origins=origins,
                    tls=certificate,
                    data=data,
                    base_topic=base_topic,
                    durability=config.durability,
                    max_keep_alive_s=config.max_keep_alive_s,
                ) as (broker, urls),
            ):
                endpoint = Endpoint(urls[0])
                yield ServedBroker("native", endpoint, broker.connect, urls, broker.attach)
        case "amqtt":
            from amqtt import __version__

            from broker import amqtt_engine

            async with amqtt_engine.running(config.listeners, origins) as urls:
                # It refuses MQTT 5: asking first would cost every link a try at every connect.
                endpoint = Endpoint(urls[0], version="3.1.1")
                name = f"amqtt {__version__}"
                yield ServedBroker(name, endpoint, partial(connect, endpoint), urls)


def check_engine(config: BrokerConfig, *, has_users: bool = False) -> None:
    """Raise EngineError, with all the reasons, if the engine can't do what the config asks."""
    if config.engine == "external":
        return
    if config.engine == "native":
        _certificate(config)
        return
    if find_spec("amqtt") is None:
        raise EngineError(
            "broker.engine: amqtt needs the package amqtt, which is not installed: run"
            " `pip install 'fieldgate[amqtt]'`, or set broker.engine: native, the default"
        )
    reasons = [
        f"broker.listeners has {url}"
        for url in config.listeners
        if urlsplit(url).scheme not in ("mqtt", "ws")
        or not is_loopback(urlsplit(url).hostname or "")
    ]
    if not config.anonymous:
        reasons.append("broker.anonymous is false")
    if has_users:
        reasons.append("there are users with rules")
    if reasons:
        raise EngineError(
            f"engine amqtt can't serve this config: {'; '.join(reasons)}. It enforces no access"
            " rules and no keep-alive and we give it no TLS, so it serves this machine alone,"
            " everybody on it alike: listen on mqtt:// or ws:// at 127.0.0.1 without users, or set"
            " broker.engine: external and broker.url to use a broker that can."
        )


def check_apart(config: BrokerConfig, users: Users) -> None:
    """Raise EngineError where a part that runs without the broker inside couldn't reach it."""
    if config.engine == "external":
        return
    url = config.listeners[0]
    parts = urlsplit(url)
    if parts.port == 0:
        why = "that has no port of its own"
    elif parts.scheme in ("mqtts", "wss") and config.tls and config.tls.client_ca_file:
        why = "that asks for a client's certificate"
    elif users.exist and not (config.anonymous and users.policy.allows_something(ANONYMOUS)):
        why = "that wants a login, since there are users"
    else:
        return
    raise EngineError(
        f"without the broker, the other parts go to its first listener, {url}, but {why}."
        " Give them a config of their own with broker.engine: external and broker.url, username,"
        " password, and for TLS ca_file, cert_file and key_file."
    )


def _certificate(config: BrokerConfig) -> ServerCertificate | None:
    """The certificate of the listeners that need one; raises EngineError."""
    tls = config.tls
    if tls is None:
        return None
    return ServerCertificate(tls.cert_file, tls.key_file, tls.client_ca_file, section="broker.tls")


def check_entrances(
    config: BrokerConfig, entrances: Mapping[str, str], *, users_exist: bool
) -> list[str]:
    """Which entrances let others in than this machine, where no users exist: there must be some.

    `entrances` are the hosts that are listened on, by what the config calls them. Raises
    EngineError where the engine can't keep the rules of users, those that exist or those that
    would have to be made; AccessError where the config contradicts itself.
    """
    check_engine(config, has_users=users_exist)
    needy = [
        name
        for name, host in entrances.items()
        if door(loopback=is_loopback(host), anonymous=config.anonymous, users_exist=users_exist)
        is Entry.CREATE_USERS
    ]
    if needy:
        try:
            check_engine(config, has_users=True)
        except EngineError as error:
            raise EngineError(
                f"{' and '.join(needy)} would let others in than this machine, so there must be"
                f" users. But {error}"
            ) from None
    return needy
