"""An operation of the HTTP API: its route, and all that the OpenAPI document says about it."""

from __future__ import annotations

import functools
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from webui.errors import RefusedError
from webui.wire import MAX_REQUEST_BYTES, encode_json

Endpoint = Callable[[Request], Awaitable[Response | ASGIApp]]

Q = TypeVar("Q", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. The endpoint's docstring is what the document says of it.

    `query` and `body` are what it reads; `answer` is the type of the JSON that comes back with
    `status`, or None where what comes back is of another `media_type`, or of one of several.
    `otherwise` are answers with other statuses, besides the errors that are alike everywhere.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    endpoint: Endpoint
    answer: Any = None
    query: type[msgspec.Struct] | None = None
    body: Any = None
    status: int = 200
    media_type: str = "application/json"
    other_media_types: tuple[str, ...] = ()
    otherwise: Mapping[int, Any] = field(default_factory=dict)

    def route(self, *, below: str = "") -> Route:
        """Where Starlette finds it, as seen from below a mount."""
        return Route(self.path.removeprefix(below), self.endpoint, methods=[self.method])


def query_of(request: Request, wanted: type[Q], **instead: str) -> Q:
    """The query of a request; a field that is a list takes all values of its name.

    What `instead` says goes before what the query says. Raises RefusedError.
    """
    given = request.query_params
    values: dict[str, Any] = {**given, **instead}
    values |= {name: given.getlist(name) for name in _lists(wanted)}
    try:
        query = msgspec.convert(values, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise RefusedError("bad_request", f"the query can't be used: {error}") from None
    for each in msgspec.structs.fields(wanted):
        if each.encode_name in values and getattr(query, each.name) is None:  # msgspec takes null
            raise RefusedError("bad_request", f"the query can't be used: {each.encode_name}=null")
    return query


async def request_body(request: Request) -> bytes:
    """The request's body; raises RefusedError as soon as it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise RefusedError("too_large", f"{MAX_REQUEST_BYTES} bytes in a request at most")
    return bytes(body)


def json_response(value: object, status: int = 200) -> Response:
    """An answer that nobody may keep: the next one may be another."""
    return Response(
        encode_json(value),
        status,
        {"cache-control": "no-store"},
        media_type="application/json",
    )


@functools.cache
def _lists(wanted: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(
        field.encode_name
        for field in msgspec.structs.fields(wanted)
        if typing.get_origin(_bare(field.type)) is list
    )


def _bare(kind: Any) -> Any:
    """A type without what is annotated to it."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
