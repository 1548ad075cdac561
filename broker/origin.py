"""May this browser talk to an open port? What an HTTP upgrade's Host and Origin must say.

A page of any site may open a WebSocket to this machine, and a name of that site may be made to
resolve to 127.0.0.1 (DNS rebinding); only these two headers tell such a page from ours.
"""

from __future__ import annotations

from collections.abc import Collection

OPEN_HOSTS = ("localhost", "127.0.0.1", "[::1]")


def host_refusal(host: str | None) -> str | None:
    """Why a Host header may not be served where anybody is let in; None if it may."""
    name = (host or "").lower()
    if not name.endswith("]"):  # an IPv6 address without a port ends its Host in a bracket
        name = name.rpartition(":")[0] or name
    if name in OPEN_HOSTS:
        return None
    return f"Host must be one of {', '.join(OPEN_HOSTS)} here, where anybody is let in"


def origin_refusal(host: str | None, origin: str | None, origins: Collection[str]) -> str | None:
    """Why a page of this origin may not be served; None if it may, or if it is no page at all.

    The scheme is not compared: behind a proxy it differs, and paho 1.6 always says https.
    """
    if origin is None:
        return None
    netloc = _netloc(origin)
    if netloc and (netloc == (host or "").lower() or netloc in map(_netloc, origins)):
        return None
    return "Origin is of another site: name it in web.origins if its pages may talk to us"


def _netloc(origin: str) -> str:
    return origin.partition("://")[2].lower()
