"""Who may open a WebSocket to a ws:// or wss:// listener, by what the handshake says. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus

from websockets.http11 import Request

from broker.site import host_refusal, is_host, origin_refusal

_READ = (
    *("Host", "Origin", "Upgrade", "Connection"),
    *("Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol"),
    "Sec-WebSocket-Extensions",
)
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


@dataclass(frozen=True, slots=True)
class Gate:
    """What one listener asks of those who come."""

    path: str = ""
    """Where MQTT is; "" or "/": at any path."""

    origins: Collection[str] = ()
    """Sites beside our own whose pages may come."""

    anybody: bool = True
    """No users: whoever comes may do everything."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer instead of a WebSocket."""

    status: HTTPStatus
    message: str


@dataclass(frozen=True, slots=True)
class Admission:
    """A WebSocket. `must_log_in`: its CONNECT must name a user, whatever rules for "*" allow."""

    must_log_in: bool


def judge(request: Request, gate: Gate) -> Admission | Refusal:
    """Let in or refuse, as `webui.door` does on the web port."""
    if not all(each.isascii() for name in _READ for each in request.headers.get_all(name)):
        return Refusal(HTTPStatus.BAD_REQUEST, "A header of the handshake holds no plain text")
    if gate.path not in ("", "/", request.path.partition("?")[0]):
        return Refusal(HTTPStatus.NOT_FOUND, f"MQTT is at {gate.path}")
    hosts, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
    if len(hosts) != 1 or not is_host(hosts[0]):
        return Refusal(HTTPStatus.BAD_REQUEST, "The request needs one Host header")
    if len(origins) > 1:
        return Refusal(HTTPStatus.BAD_REQUEST, "The request has more than one Origin header")
    proxied = any(name in request.headers for name in _FORWARDED)
    if proxied and gate.anybody:
        return Refusal(
            HTTPStatus.UNAUTHORIZED,
            "This request came through a proxy, and there are no users to log in as: add one by"
            " `fieldgate user add NAME`",
        )
    if reason := origin_refusal(hosts[0], origins[0] if origins else None, gate.origins):
        return Refusal(HTTPStatus.FORBIDDEN, reason)
    elsewhere = host_refusal(hosts[0])
    if elsewhere and gate.anybody:
        return Refusal(HTTPStatus.FORBIDDEN, elsewhere)
    return Admission(must_log_in=proxied or elsewhere is not None)
