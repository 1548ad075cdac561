"""The OpenAPI document held to the running program by schemathesis."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method

from tests.program import running
from tests.real_ends import DEADLINE_S
from tests.webui.serving import serving
from webui.api import OPERATIONS
from webui.openapi import openapi_document

STREAMS = ["/api/events", "/api/tail"]
MORE_THAN_A_SCHEMA_SAYS = {
    "publish": "base64 in the payload",
    "history": "from is before to",
    "export": "from is before to",
    "log_in": "there are users",
}
"""Operations that may refuse what fits their schema, and what they ask for besides."""

schema = schemathesis.openapi.from_dict(openapi_document(OPERATIONS, version="1"))
# The same in each run: among many thousands, schemathesis takes a few for wrong that are not, as
# `filter=true`, which is no text in JSON and is one in a URL.
at_ease = settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def program_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("api"), "devices: []\n") as fieldgate:
        yield fieldgate.page_url


def check(case: Case[Any], url: str) -> None:
    excluded = [unsupported_method]  # the doorkeeper's 400 comes before the 405: see its tests
    if case.operation.definition.raw["operationId"] in MORE_THAN_A_SCHEMA_SAYS:
        excluded.append(positive_data_acceptance)
    case.call_and_validate(base_url=url, excluded_checks=excluded)


@schema.exclude(path=STREAMS).parametrize()
@at_ease
def test_the_program_does_what_its_document_says(case: Case[Any], program_url: str) -> None:
    check(case, program_url)


async def _serve_streams(ready: queue.Queue[str], stop: threading.Event) -> None:
    """Streams have no end, so here they are ended all the time, as when the users change."""
    async with serving() as web:
        web.publish("a", "1")
        ready.put(web.url)
        while not stop.is_set():
            await asyncio.sleep(0.01)
            web.state.end_sessions(4001, "the next test")


@pytest.fixture(scope="module")
def stream_url() -> Iterator[str]:
    """A server of streams in a thread of its own, since schemathesis waits for its answers."""
    ready: queue.Queue[str] = queue.Queue()
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve_streams(ready, stop)))
    thread.start()
    with contextlib.ExitStack() as ending:
        ending.callback(thread.join, DEADLINE_S)
        ending.callback(stop.set)
        yield ready.get(timeout=DEADLINE_S)


@schema.include(path=STREAMS).parametrize()
@at_ease
def test_streams_begin_as_the_document_says(case: Case[Any], stream_url: str) -> None:
    check(case, stream_url)
