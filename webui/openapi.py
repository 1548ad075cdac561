"""`/openapi.json`: the OpenAPI 3.1 document, made of the operations themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec

from webui.errors import HTTP_CODES
from webui.json_schema import Json, Schemas, schemas_of
from webui.operation import Operation

_ABOUT = """\
Fieldgate's HTTP API: what there is now, streams, publishing, history and health. The WebSocket
`/api/ws` and the MQTT topic tree are in `/asyncapi.json`.

Where users exist, send a name and password by HTTP Basic with every request, or a token of
`fieldgate token add` as Bearer, or log in once by `POST /api/login`, which sets a cookie. A request
that writes needs `Content-Type: application/json`. A browser's request must come from a page of
this site, or of one in `web.origins`.
"""

_SECURITY = {
    "basic": {"type": "http", "scheme": "basic"},
    "token": {"type": "http", "scheme": "bearer"},
}
_FOR_ALL = ("/health/", "/api/login")
"""Paths, or what they begin with, that ask nobody who it is."""


class Complaint(msgspec.Struct):
    """What is wrong: `code` for programs, `message` for people."""

    code: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(HTTP_CODES)})]
    message: str


class Error(msgspec.Struct):
    """Every answer with a status from 400 on, but for what an operation says itself."""

    error: Complaint


def openapi_document(operations: Sequence[Operation], *, version: str, base_path: str = "") -> Json:
    """The document of these operations, which lie below `base_path`."""
    wanted: list[Any] = [Error]
    for operation in operations:
        answers = (operation.answer, operation.body, *operation.otherwise.values())
        wanted += [each for each in answers if each is not None]
    schemas = schemas_of(wanted, "#/components/schemas/{name}")
    paths: dict[str, Json] = {}
    for operation in operations:
        described = _operation(operation, schemas)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fieldgate", "version": version, "description": _ABOUT},
        "servers": [{"url": base_path or "/"}],
        "security": [{}, *({name: []} for name in _SECURITY)],
        "paths": paths,
        "components": {
            "securitySchemes": _SECURITY,
            "schemas": schemas.components,
        },
    }


def _operation(operation: Operation, schemas: Schemas) -> Json:
    described: Json = {
        "operationId": operation.endpoint.__name__,
        **_words(operation.endpoint),
        "responses": _responses(operation, schemas),
    }
    if operation.query is not None:
        described["parameters"] = list(_parameters(operation.query))
    if operation.method != "GET":  # what writes is JSON, if only so that no form can do it
        body = {} if operation.body is None else schemas.of(operation.body)
        content = {"application/json": {"schema": body}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.path.startswith(_FOR_ALL):
        described["security"] = []
    return described


def _responses(operation: Operation, schemas: Schemas) -> Json:
    answer: Json = {} if operation.answer is None else {"schema": schemas.of(operation.answer)}
    content: Json = {media_type: {} for media_type in operation.other_media_types}
    content[operation.media_type] = answer
    responses: Json = {str(operation.status): {"description": "Done", "content": content}}
    for status, kind in operation.otherwise.items():
        responses[str(status)] = _json_answer(_doc(kind), schemas.of(kind))
    for statuses, what in (("4XX", "Refused"), ("5XX", "Not possible now")):
        responses[statuses] = _json_answer(what, schemas.of(Error))
    return responses


def _json_answer(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _parameters(query: type[msgspec.Struct]) -> Iterable[Json]:
    """A query's fields; one that may be null is simply left out."""
    schemas = schemas_of([query], "#/components/schemas/{name}")
    described = schemas.components[query.__name__]
    for name, schema in described["properties"].items():
        kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
        yield {
            "name": name,
            "in": "query",
            "required": name in described["required"],
            "schema": kinds[0] if kinds else schema,
        }


def _words(endpoint: object) -> Json:
    """What an endpoint's docstring says: ``"`GET /…`: the summary"``, and what follows it."""
    _, _, said = _doc(endpoint).partition("`: ")
    summary, _, more = said.partition("\n\n")
    summary = " ".join(summary.split())
    words = {"summary": summary[:1].upper() + summary[1:]}
    return {**words, "description": more} if more else words


def _doc(documented: object) -> str:
    return inspect.cleandoc(documented.__doc__ or "")
