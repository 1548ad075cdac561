"""Listening TCP sockets, made by ourselves so that a peer that went away is noticed.

The options below pass from a listening socket to every connection that it accepts (Linux);
neither asyncio's servers nor uvicorn's would set them.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from contextlib import ExitStack
from typing import Any

import psutil

from broker.errors import ListenError

USER_TIMEOUT_MS = 24_000
"""How long sent bytes may stay unacknowledged, a full receive window of a peer that stopped
reading included: after that the kernel ends the connection (RFC 5482). With the heartbeat that a
quiet stream sends every 20 s, a browser that vanished is known to be gone within 45 s."""

KEEP_ALIVE_IDLE_S = 30
KEEP_ALIVE_INTERVAL_S = 10
KEEP_ALIVE_PROBES = 3
"""A silent peer is asked after 30 s and given up after 40, where there is a TCP_USER_TIMEOUT (else
after 60): a cable pulled stays unseen no longer, and an idle phone is not woken more often."""

BACKLOG = 1024
"""Connections that wait to be accepted, as a thousand browsers coming back at once do."""

_PORT_TRIES = 5
"""How often port 0 is tried where a name has several addresses, which must share one port."""

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""What a host without IPv6 says to ::1, which its `localhost` may well name."""

_ANY = {"0.0.0.0", "::"}
"""Who listens here listens on every address."""

_Address = tuple[socket.AddressFamily, tuple[Any, ...]]


def listen(host: str, port: int, *, remedy: str = "") -> list[socket.socket]:
    """Listen on every address of `host`, all on one port; port 0 takes a free one.

    The sockets don't block and accept into their backlog at once; the caller closes them.
    Raises ListenError, a sentence that ends with `remedy`: what to change, and in which key.
    """
    addresses = _addresses(host, port, remedy)
    for tries_left in reversed(range(_PORT_TRIES)):
        try:
            return _listen_on_all(addresses)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and port == 0 and tries_left:
                continue
            hosts = {address[0] for _, address in addresses}
            raise ListenError(_sentence(host, port, hosts, error, remedy)) from error
    raise AssertionError("the last try returns or raises")


def keep_alive(sock: socket.socket) -> None:
    """Let the system notice a peer that has gone without a word, as far as this system can."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEP_ALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEP_ALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEP_ALIVE_PROBES),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
    ):
        if hasattr(socket, name):  # each system has some of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def is_loopback(host: str) -> bool:
    """Whether a listener on `host` is reached from this machine only: 127.0.0.0/8, ::1, localhost.

    Any other name is not: what it resolves to is not in our hands.
    """
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def netloc(host: str, port: int) -> str:
    """`host:port` as a URL writes it, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _addresses(host: str, port: int, remedy: str) -> list[_Address]:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that no domain name can have
        where = f"can't listen on {netloc(host, port)}: no address is known for the name {host}"
        raise ListenError(_joined(where, remedy)) from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _listen_on_all(addresses: list[_Address]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    not_here: OSError | None = None
    with ExitStack() as opened:
        for family, (host, port, *scope) in addresses:
            if sockets and port == 0:
                port = sockets[0].getsockname()[1]
            try:
                sockets.append(opened.enter_context(_listening(family, (host, port, *scope))))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                not_here = error
        if not_here is not None and not sockets:
            raise not_here
        opened.pop_all()
    return sockets


def _listening(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    # The protocol is named, because asyncio sets TCP_NODELAY only where it is.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        _set_options(sock)
        sock.bind(address)
        sock.listen(BACKLOG)  # here and not in the server: only now is a taken port certain
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _set_options(sock: socket.socket) -> None:
    if os.name == "posix":  # on Windows it would let us share a port that is taken
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    keep_alive(sock)


def _sentence(host: str, port: int, hosts: set[str], error: OSError, remedy: str) -> str:
    where = netloc(host, port)
    match error.errno:
        case errno.EADDRINUSE:
            what = f"{where} is taken: {_holder(hosts, port) or 'another program'} listens there"
        case errno.EACCES | errno.EPERM:
            what = f"no permission to listen on {where}: a port below 1024 needs more rights"
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            what = f"can't listen on {where}: this machine has no such address"
        case _:
            what = f"can't listen on {where}: {error.strerror or error}"
    return _joined(what, remedy)


def _joined(what: str, remedy: str) -> str:
    return f"{what}. {remedy}" if remedy else what


def _holder(hosts: set[str], port: int) -> str | None:
    """Who listens on a port, where the system tells us: often only root sees other users'."""
    try:
        pid = next(
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
            and connection.pid is not None
            and connection.laddr
            and connection.laddr.port == port
            and (connection.laddr.ip in hosts | _ANY or hosts & _ANY)
        )
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except (StopIteration, psutil.Error, OSError):
        return None
