"""Who is let in: a pure judgement of one request's headers and of where it came from."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, TypeAlias

from broker.access import host_refusal, is_host, origin_refusal

MAX_FORWARDED = 32
"""Addresses of X-Forwarded-For that are looked at, from the right."""

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
_READS = ("GET", "HEAD", "OPTIONS")
_HEALTH = re.compile("/health/[a-z]+")
_PAGE = re.compile(r"/|/index\.html|/assets/[^/]+")
_LOGIN = "/api/login"

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Door:
    """What one listener asks of those who come."""

    anybody: bool
    """No users, loopback: whoever comes may do everything."""

    anonymous: bool = True
    """Where users exist: whether without credentials one gets as far as rules for "*" allow."""

    origins: tuple[str, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    base_path: str = ""

    def path(self, path: str) -> str:
        """A request's path without the base path."""
        base = self.base_path.rstrip("/")
        return path.removeprefix(base) if path.startswith(f"{base}/") else path

    def trusts(self, peer: str | None) -> bool:
        """Whether this address is a proxy whose headers are believed."""
        address = _address(peer or "")
        return address is not None and any(address in network for network in self.trusted_proxies)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks of `web.trusted_proxies`; raises ValueError."""
    return tuple(ip_network(text, strict=False) for text in texts)


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request or a WebSocket handshake (then the method is GET), as far as it matters."""

    method: str
    path: str
    headers: Mapping[str, tuple[str, ...]]
    peer: str | None

    @property
    def is_from_browser(self) -> bool:
        """Whether it calls itself a browser, as all of them do."""
        return self.headers.get("user-agent", ("",))[0].startswith("Mozilla/")

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> Request:
        """The request of an ASGI scope."""
        headers: dict[str, tuple[str, ...]] = {}
        for name, value in scope["headers"]:
            key = name.decode("latin-1").lower()
            headers[key] = (*headers.get(key, ()), value.decode("latin-1").strip(" \t"))
        client = scope.get("client")
        return cls(
            scope.get("method", "GET"), scope["path"], headers, client[0] if client else None
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer instead of the app's."""

    status: int
    code: str
    message: str
    challenge: bool = False
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and password that must be right, else the answer is `WRONG`."""

    name: str
    password: bytes


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that must be right, else the answer is `WRONG_TOKEN`."""

    secret: str


class Let(Enum):
    """Whoever is let in without a question."""

    ANYBODY = "may do everything"
    LOGGED_IN = "may do what rules for the user of their cookie allow"
    ANONYMOUS = "may do what rules for * allow"
    UNASKED = "may do nothing that anybody asks about"


@dataclass(frozen=True, slots=True)
class Connecting:
    """An MQTT client, which logs in by its CONNECT, or must."""

    must_log_in: bool


Verdict: TypeAlias = Refusal | Credentials | Bearer | Let | Connecting

WRONG = Refusal(401, "unauthorized", "The user name or the password is wrong", challenge=True)
WRONG_TOKEN = Refusal(
    401, "unauthorized", "The token is unknown, was revoked or has ended", challenge=True
)


def judge(
    request: Request, door: Door, *, starred: bool = False, logged_in: bool = False
) -> Verdict:
    """Let in, refuse, or ask whether the password is right.

    `starred`: a rule for "*" allows something. `logged_in`: the request has a good cookie; then
    Authorization says nothing, which may well be meant for a proxy before us.
    """
    hosts, origins = request.headers.get("host", ()), request.headers.get("origin", ())
    authorizations = request.headers.get("authorization", ())
    if len(hosts) != 1 or not is_host(hosts[0]) or max(len(origins), len(authorizations)) > 1:
        return _bad_request(
            "The request needs one Host header, as in Host: 127.0.0.1:8088,"
            " and at most one Origin and one Authorization header"
        )
    unasked = _is_unasked(request, door)
    is_mqtt = door.path(request.path) == "/mqtt"
    given = (logged_in or bool(authorizations)) and not door.anybody
    proxied = any(name in request.headers for name in _FORWARDED) and not door.trusts(request.peer)
    if proxied and not given and not unasked and (door.anybody or not is_mqtt):
        return Refusal(
            401, "unauthorized", _proxy_message(request.peer), challenge=not door.anybody
        )
    if reason := _site_refusal(hosts[0], origins[0] if origins else None, door):
        return Refusal(403, "forbidden", reason)
    if is_mqtt:
        elsewhere = host_refusal(hosts[0]) is not None
        return Connecting(must_log_in=not door.anybody and (proxied or elsewhere))
    if request.method not in _READS and not _is_json(request.headers.get("content-type", ())):
        return _bad_request("A request that writes needs Content-Type: application/json")
    if unasked or door.anybody:
        return Let.UNASKED if unasked else Let.ANYBODY
    if logged_in:
        return Let.LOGGED_IN
    if authorizations:
        return _credentials(authorizations[0]) or WRONG
    return _without_credentials(hosts[0], door, starred=starred)


def client_address(request: Request, door: Door) -> str | None:
    """Where the request began: the peer, or the last one that our own proxies don't vouch for."""
    if not door.trusts(request.peer):
        return request.peer
    nearest = request.peer
    hops = ",".join(request.headers.get("x-forwarded-for", ())).split(",")
    for hop in reversed(hops[-MAX_FORWARDED:]):
        address = _address(hop)
        if address is None:
            break
        nearest = str(address)
        if not door.trusts(nearest):
            break
    return nearest


def _is_unasked(request: Request, door: Door) -> bool:
    """Whether this is for all: health, and where users exist the page, on which they log in."""
    path = door.path(request.path)
    if _HEALTH.fullmatch(path):
        return True
    if door.anybody:
        return False
    return path == _LOGIN or (request.method in _READS and _PAGE.fullmatch(path) is not None)


def _site_refusal(host: str, origin: str | None, door: Door) -> str | None:
    """Why a page of that site, or by that name of ours, may not ask; None if it may."""
    return origin_refusal(host, origin, door.origins) or (
        host_refusal(host) if door.anybody else None
    )


def _without_credentials(host: str, door: Door, *, starred: bool) -> Verdict:
    if not (door.anonymous and starred):
        return Refusal(401, "unauthorized", "Log in with a user of Fieldgate", challenge=True)
    if reason := host_refusal(host):  # a login helps here: no other site's page has it
        return Refusal(401, "unauthorized", f"Log in. {reason}", challenge=True)
    return Let.ANONYMOUS


def _credentials(authorization: str) -> Credentials | Bearer | None:
    """HTTP Basic [RFC 7617], in UTF-8, or a bearer token [RFC 6750]; None if it is neither."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return Bearer(token.strip())
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(token.strip(), validate=True).partition(b":")
        return Credentials(user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


def _is_json(content_types: Collection[str]) -> bool:
    return [text.partition(";")[0].strip().lower() for text in content_types] == [
        "application/json"
    ]


def _address(text: str) -> Address | None:
    """An IP address, perhaps with a port; IPv4 inside IPv6 is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _proxy_message(peer: str | None) -> str:
    return (
        f"This request came through a proxy ({peer or 'of unknown address'}) that is not trusted:"
        " put its address into web.trusted_proxies"
    )


def _bad_request(message: str) -> Refusal:
    return Refusal(400, "bad_request", message)
