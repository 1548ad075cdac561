from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from tests.real_ends import DEADLINE_S, until
from tests.webui.serving import Web, serving
from webui import roster
from webui.hub import HubLimits


@pytest.fixture(autouse=True)
def _nothing_fails_inside(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    faults = [each for each in caplog.get_records("call") if each.levelno >= logging.ERROR]
    assert [fault.getMessage() for fault in faults] == []


@pytest.fixture(scope="module")
async def idle() -> AsyncIterator[Web]:
    """One server for all who only ask for what is refused."""
    async with serving() as web:
        yield web


class Stream:
    """The events of one response, as an EventSource reads them."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.text = ""
        self._chunks = response.aiter_text()
        self._taken = 0

    async def until_text(self, wanted: str) -> str:
        async with asyncio.timeout(DEADLINE_S):
            while wanted not in self.text:
                self.text += await anext(self._chunks)
        return self.text

    async def event(self) -> dict[str, Any]:
        """The fields of the next event, `data` decoded."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                block, found, _ = self.text[self._taken :].partition("\n\n")
                if not found:
                    self.text += await anext(self._chunks)
                    continue
                self._taken += len(block) + 2
                lines = [line.partition(": ") for line in block.split("\n")]
                fields: dict[str, Any] = {name: value for name, _, value in lines if name != ":"}
                if "data" in fields:
                    fields["data"] = json.loads(fields["data"])
                    return fields

    async def end(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            async for chunk in self._chunks:
                self.text += chunk


@contextlib.asynccontextmanager
async def streaming(
    web: Web, query: str, headers: dict[str, str] | None = None
) -> AsyncIterator[Stream]:
    async with (
        httpx.AsyncClient(timeout=DEADLINE_S) as client,
        client.stream("GET", f"{web.url}/api/events?{query}", headers=headers) as response,
    ):
        yield Stream(response)


async def test_the_first_bytes_are_a_comment_and_then_how_long_to_wait() -> None:
    async with serving() as web, streaming(web, "filter=%23") as stream:
        assert (await stream.until_text("\n\n")) == ":\nretry: 3000\n\n"
        headers = stream.response.headers
        assert stream.response.status_code == 200
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")


async def test_last_values_come_first_and_each_message_has_its_place_as_id() -> None:
    async with serving() as web:
        web.publish("a/b", "1", "2")
        web.publish("c", "3")
        async with streaming(web, "filter=a/%23&filter=c") as stream:
            first, second = await stream.event(), await stream.event()
            web.publish("a/b", "line\nbreak")
            third = await stream.event()
    assert [event["id"] for event in (first, second, third)] == ["e1-2", "e1-3", "e1-4"]
    assert [event["data"].get("last") for event in (first, second, third)] == [True, True, None]
    assert third["data"]["payload"] == "line\nbreak"


async def test_a_stream_resumes_by_header_or_by_query_and_the_header_wins() -> None:
    async with serving() as web:
        web.publish("a", "1", "2", "3")
        async with streaming(web, "filter=a", {"Last-Event-ID": "e1-1"}) as stream:
            assert [(await stream.event())["id"] for _ in range(2)] == ["e1-2", "e1-3"]
        async with streaming(web, "filter=a&last_event_id=e1-2") as stream:
            assert (await stream.event())["id"] == "e1-3"
        headers = {"Last-Event-ID": "e1-1"}
        async with streaming(web, "filter=a&last_event_id=e1-2", headers) as stream:
            assert (await stream.event())["id"] == "e1-2"


async def test_what_was_missed_is_an_event_of_its_own() -> None:
    async with serving(HubLimits(log_messages=1)) as web:
        web.publish("a", "1", "2", "3")
        async with streaming(web, "filter=a&last_event_id=e1-1") as stream:
            event = await stream.event()
            assert event["event"] == "gap"
            assert "id" not in event
            assert event["data"]["reason"] == "resume"
            assert (await stream.event())["data"]["payload"] == "3"


async def test_after_a_reset_there_is_no_place_to_resume_from_until_a_message_comes() -> None:
    """An EventSource that is cut right then would else ask for what its page has thrown away."""
    async with serving() as web:
        web.publish("a", "1")
        async with streaming(web, "filter=a", {"Last-Event-ID": "other-9"}) as stream:
            event = await stream.event()
            assert (event["event"], event["data"]["reset"], event["id"]) == ("gap", True, "")
            assert (await stream.event())["id"] == "e1-1"


async def test_a_quiet_stream_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webui.stream.HEARTBEAT_S", 0.01)
    async with serving() as web, streaming(web, "filter=a") as stream:
        await stream.until_text("\n\n:\n\n:\n\n")


async def test_a_rate_conflates() -> None:
    async with serving() as web, streaming(web, "filter=a&max_rate_hz=5") as stream:
        await stream.until_text("\n\n")
        for n in range(500):
            web.publish("a", str(n))
        await stream.until_text('"payload":"499"')
        assert stream.text.count("data: ") <= 3


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "bad_filter"),
        ("filter=", "bad_filter"),
        ("filter=a/%23/b", "bad_filter"),
        ("&".join(["filter=a"] * 33), "too_many"),
        ("filter=a&mode=some", "bad_request"),
        ("filter=a&max_rate_hz=0", "bad_request"),
        ("filter=a&max_rate_hz=fast", "bad_request"),
        ("filter=a&max_rate_hz=nan", "bad_request"),
        ("filter=a&max_rate_hz=inf", "bad_request"),
        ("filter=a&last_event_id=nonsense", "bad_frame"),
        ("filter=a&last_event_id=", "bad_frame"),
    ],
)
async def test_a_query_that_cannot_be_used_is_refused(idle: Web, query: str, code: str) -> None:
    async with httpx.AsyncClient() as client:
        response = await client.get(f"{idle.url}/api/events?{query}")
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert response.json()["error"]["code"] == code
    assert idle.hub.size().channels == 0
    assert len(idle.state.roster) == 0


async def test_a_header_that_is_no_place_is_refused(idle: Web) -> None:
    async with httpx.AsyncClient() as client:
        headers = {b"Last-Event-ID": b"caf\xe9"}
        response = await client.get(f"{idle.url}/api/events?filter=a", headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_frame")


async def test_a_head_request_is_answered_and_over() -> None:
    async with serving() as web, httpx.AsyncClient(timeout=DEADLINE_S) as client:
        response = await client.head(f"{web.url}/api/events?filter=a")
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        await until(lambda: web.hub.size().channels == 0, "nothing is left")


async def test_a_stream_that_goes_leaves_nothing_behind() -> None:
    async with serving() as web:
        async with streaming(web, "filter=a") as stream:
            await stream.until_text(":\n")
            assert web.hub.size().channels == 1
        await until(lambda: web.hub.size().channels == 0, "its channel is gone")
        await until(lambda: len(web.state.roster) == 0, "it is counted out")


async def test_a_stream_too_many_is_told_to_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "MAX_SESSIONS", 1)
    async with serving() as web, streaming(web, "filter=a") as stream:
        await stream.until_text(":\n")
        async with httpx.AsyncClient() as client:
            response = await client.get(f"{web.url}/api/events?filter=a")
        assert (response.status_code, response.json()["error"]["code"]) == (503, "unavailable")


async def test_streams_end_cleanly_when_the_users_change() -> None:
    async with serving() as web, streaming(web, "filter=a") as stream:
        await stream.until_text(":\n")
        web.state.end_sessions(4001, "the users have changed")
        await stream.end()
        async with streaming(web, "filter=a") as again:
            await again.until_text(":\n")


async def test_streams_end_cleanly_when_the_server_stops() -> None:
    async with contextlib.AsyncExitStack() as client:
        async with serving() as web:
            stream = await client.enter_async_context(streaming(web, "filter=a"))
            await stream.until_text("3000\n\n")
        await stream.end()
        found = re.fullmatch(r"\nretry: (\d+)\n\n", stream.text.partition("3000\n")[2])
        assert found, stream.text
        assert 1000 <= int(found[1]) <= 5000, "each comes back after a while of its own"
