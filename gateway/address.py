"""Addresses as people write them: host and port, origin, path prefix, network. All pure."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit


def split_address(address: str) -> tuple[str, int]:
    """The host and port of `host:port` or `[IPv6]:port`; raises ValueError, in a sentence."""
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host:
        raise ValueError("must be host:port, as in 127.0.0.1:8088 or 0.0.0.0:8088")
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or int(port) > 65_535:
        raise ValueError("must end with a port from 0 to 65535, as in 127.0.0.1:8088")
    if bracketed:
        try:
            return str(ipaddress.IPv6Address(host[1:-1])), int(port)
        except ValueError:
            raise ValueError("has no IPv6 address in its brackets, as in [::1]:8088") from None
    if ":" in host and "/" not in host:
        raise ValueError("needs brackets around its IPv6 address, as in [::1]:8088")
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", host):
        raise ValueError("must be host:port and nothing else, as in 127.0.0.1:8088")
    return host, int(port)


def check_address(address: str) -> str:
    """Return `address` if it is host:port, else raise ValueError."""
    split_address(address)
    return address


def check_origin(origin: str) -> str:
    """Return a browser origin in small letters, else raise ValueError."""
    problem = ValueError("must be an origin, as in https://fieldgate.example or http://nas:8088")
    try:
        parts = urlsplit(origin)
        whole = f"{parts.scheme}://{parts.netloc.lower()}"
        if parts.port == 0:
            raise problem
    except ValueError:
        raise problem from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise problem
    if whole != origin.lower():
        raise ValueError("must be an origin alone, with no path and no slash at its end")
    return whole


def check_base_path(path: str) -> str:
    """Return a path prefix with no slash at its end ("" for none), else raise ValueError."""
    if path in ("", "/"):
        return ""
    levels = path.split("/")[1:]
    sound = all(re.fullmatch(r"[A-Za-z0-9_~.-]+", level) for level in levels)
    if not path.startswith("/") or not sound or {".", ".."} & set(levels):
        raise ValueError("must begin with a slash and end without one, as in /fieldgate")
    return path


def check_network(network: str) -> str:
    """Return `network` if it is an IP address or network, else raise ValueError."""
    try:
        ipaddress.ip_network(network)
    except ValueError:
        raise ValueError(
            "must be an IP address or network, as in 127.0.0.1 or 172.16.0.0/12"
        ) from None
    return network
