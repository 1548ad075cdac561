"""Errors over HTTP: `{"error":{"code","message"}}` with the status that fits the code."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from webui.door import Refusal
from webui.errors import RefusedError
from webui.wire import encode_json

_BASIC = 'Basic realm="Fieldgate", charset="UTF-8"'
_BEARER = 'Bearer realm="Fieldgate"'
STATUS = {
    "bad_request": 400,
    "bad_frame": 400,
    "bad_filter": 400,
    "bad_topic": 400,
    "unknown_op": 400,
    "too_many": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "not_allowed": 405,
    "too_large": 413,
    "rate_limited": 429,
    "unavailable": 503,
}


def denied(refusal: Refusal, *, is_browser: bool) -> Response:
    """The doorkeeper's refusal. 401 names the ways in [RFC 9110 11.6.1].

    Browsers are not told of Basic: they would open a window of their own over our login form.
    """
    body = encode_json({"error": {"code": refusal.code, "message": refusal.message}})
    response = Response(body, refusal.status, media_type="application/json")
    response.headers["cache-control"] = "no-store"
    if refusal.challenge:
        response.headers.append("www-authenticate", _BEARER)
        if not is_browser:
            response.headers.append("www-authenticate", _BASIC)
    if refusal.retry_after_s is not None:
        response.headers["retry-after"] = str(refusal.retry_after_s)
    return response


def refused(refusal: RefusedError) -> Response:
    """The response that tells a client why not."""
    body = encode_json({"error": {"code": refusal.code, "message": refusal.message}})
    return Response(body, STATUS[refusal.code], media_type="application/json")


async def on_refused(_request: Request, error: Exception) -> Response:
    """Starlette's handler for our own refusals."""
    assert isinstance(error, RefusedError)
    return refused(error)


async def on_http_exception(_request: Request, error: Exception) -> Response:
    """Starlette's handler for its own: no such path, no such method."""
    assert isinstance(error, HTTPException)
    codes = {STATUS[code]: code for code in ("not_found", "not_allowed")}
    code = codes.get(error.status_code, "bad_request")
    body = encode_json({"error": {"code": code, "message": error.detail}})
    headers = dict(error.headers or {})
    return Response(body, error.status_code, headers, media_type="application/json")
