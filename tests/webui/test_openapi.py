from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from tests.webui.serving import serving
from webui.api import OPERATIONS, api_routes
from webui.errors import FRAME_CODES, HTTP_CODES
from webui.http_error import STATUS
from webui.openapi import openapi_document

DOCUMENT = openapi_document(OPERATIONS, version="1.2.3", base_path="/gate")


def described() -> Iterator[dict[str, Any]]:
    for path in DOCUMENT["paths"].values():
        yield from path.values()


def served(routes: Iterable[BaseRoute], below: str = "") -> Iterator[tuple[str, str]]:
    """Path and method of all HTTP routes."""
    for route in routes:
        match route:
            case Mount(path=path):
                yield from served(route.routes or (), below + path)
            case Route(path=path, methods=methods):
                assert methods
                yield from ((below + path, method) for method in methods - {"HEAD"})
            case _:
                assert isinstance(route, WebSocketRoute), "in the other document"


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    documented = {
        (path, method.upper()) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert documented == set(served(api_routes()))


def test_the_document_is_valid() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()


def test_every_operation_says_what_it_does_under_a_name_of_its_own() -> None:
    names = [each["operationId"] for each in described()]
    assert len(set(names)) == len(names)
    for each in described():
        assert each["summary"][:1].isupper(), each
        assert each["summary"].endswith("."), each
        assert "`GET" not in each["summary"]


def test_parameters_are_those_that_are_read() -> None:
    parameters = DOCUMENT["paths"]["/api/topics"]["get"]["parameters"]
    assert [(each["name"], each["required"], each["schema"].get("default")) for each in parameters]
    by_name = {each["name"]: each for each in parameters}
    assert by_name["limit"]["schema"] == {
        "type": "integer", "minimum": 1, "maximum": 10_000, "default": 1000,
    }  # fmt: skip
    events = DOCUMENT["paths"]["/api/events"]["get"]["parameters"]
    by_name = {each["name"]: each for each in events}
    assert by_name["filter"]["required"] is True
    assert by_name["filter"]["schema"]["type"] == "array"
    assert by_name["max_rate_hz"]["schema"]["type"] == "number", "left out instead of null"


def test_every_reference_leads_somewhere() -> None:
    def references(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for each in value.values():
                yield from references(each)
        elif isinstance(value, list):
            for each in value:
                yield from references(each)

    found = set(references(DOCUMENT))
    assert "#/components/schemas/WireMessage" in found
    names = {reference.removeprefix("#/components/schemas/") for reference in found}
    assert names <= DOCUMENT["components"]["schemas"].keys()


def test_every_code_of_an_error_has_a_status_and_stands_in_the_document() -> None:
    code = DOCUMENT["components"]["schemas"]["Complaint"]["properties"]["code"]
    assert set(code["enum"]) == set(HTTP_CODES)
    assert STATUS.keys() == set(HTTP_CODES)
    assert set(FRAME_CODES) < set(HTTP_CODES)


def test_there_are_two_ways_to_log_in_and_one_without() -> None:
    ways = [tuple(way) for way in DOCUMENT["security"]]
    assert ways == [(), ("basic",), ("token",)]
    assert DOCUMENT["components"]["securitySchemes"].keys() == {"basic", "token"}


def test_whoever_asks_for_health_or_logs_in_needs_no_login() -> None:
    open_to_all = {
        path for path, methods in DOCUMENT["paths"].items()
        if any(each.get("security") == [] for each in methods.values())
    }  # fmt: skip
    assert open_to_all == {"/health/live", "/health/ready", "/api/login"}


@pytest.mark.parametrize("base_path", ["", "/gate"])
async def test_it_is_served_as_it_is_generated(base_path: str) -> None:
    async with serving(base_path=base_path) as web, httpx.AsyncClient(base_url=web.url) as http:
        response = await http.get(f"{base_path}/openapi.json")
        web.state.version = "1.2.3"
        again = await http.get(f"{base_path}/openapi.json")
    assert response.headers["content-type"] == "application/json"
    assert response.json()["servers"] == [{"url": base_path or "/"}]
    assert again.json() == openapi_document(OPERATIONS, version="1.2.3", base_path=base_path)
