"""Whose page asks: what Host and Origin of an HTTP request or WebSocket handshake must say.

A page of any site may send requests to this machine, and a name of that site may be made to
resolve to 127.0.0.1 (DNS rebinding); only these two headers tell such a page from ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")

_HOST = r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._~-]+)(?::(?P<port>[0-9]{0,5}))?"
_HOST_HEADER = re.compile(_HOST)
_ORIGIN_HEADER = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://" + _HOST)
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def is_host(host: str) -> bool:
    """Whether this is a Host header at all."""
    return _HOST_HEADER.fullmatch(host.lower()) is not None


def host_refusal(host: str | None) -> str | None:
    """Why a Host may not be served where anybody is let in; None if it may."""
    found = _HOST_HEADER.fullmatch((host or "").lower())
    if found and found["host"] in LOCAL_HOSTS:
        return None
    return (
        f"Without a login, Host must be {', '.join(LOCAL_HOSTS[:-1])} or {LOCAL_HOSTS[-1]}"
        f" and not {_shown(host)}, or else any site could have a name of its own point here"
        " (DNS rebinding)"
    )


def origin_refusal(host: str | None, origin: str | None, origins: Iterable[str] = ()) -> str | None:
    """Why a page of this origin may not be served; None if it may, or where no page asks.

    Host and port must be those of the Host header or of one in `origins`. The scheme is not
    compared: behind a proxy it differs, and paho 1.6 always says https. A Host without a port is
    on port 80 or 443, since only the client knows which.
    """
    if origin is None:
        return None
    page = _site(origin)
    if page is not None:
        found = _HOST_HEADER.fullmatch((host or "").lower())
        if found and found["host"] == page[0]:
            ports = {int(found["port"])} if found["port"] else {80, 443}
            if page[1] in ports:
                return None
        if page in {_site(known) for known in origins}:
            return None
    return (
        f"Origin {_shown(origin)} is another site than Host {_shown(host)}:"
        " name it in web.origins if its pages may talk to this one"
    )


def _site(origin: str) -> tuple[str, int] | None:
    """Host and port of an origin, or None if it is none, like `null`."""
    found = _ORIGIN_HEADER.fullmatch(origin.lower())
    if not found:
        return None
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS.get(found["scheme"])
    return None if port is None else (found["host"], port)


def _shown(text: str | None) -> str:
    if text is None:
        return "(none)"
    return ascii(text if len(text) <= 80 else text[:77] + "...")
