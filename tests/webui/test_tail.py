from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from broker.link import Message, QoS
from tests.program import running
from tests.real_ends import DEADLINE_S, program, until, wait_until
from tests.webui.serving import Web, serving
from tests.webui.test_auth import users_in
from webui.hub import HubLimits
from webui.tail import line_of_gap
from webui.wire import Gap


@pytest.fixture(autouse=True)
def _nothing_fails_inside(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    faults = [each for each in caplog.get_records("call") if each.levelno >= logging.ERROR]
    assert [fault.getMessage() for fault in faults] == []


class Tail:
    """The bytes of one response, as curl prints them."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.bytes = b""
        self._chunks = response.aiter_bytes()

    async def until(self, wanted: bytes) -> bytes:
        """All bytes so far, as soon as they end in these."""
        async with asyncio.timeout(DEADLINE_S):
            while not self.bytes.endswith(wanted):
                self.bytes += await anext(self._chunks)
        return self.bytes

    async def end(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            async for chunk in self._chunks:
                self.bytes += chunk


@contextlib.asynccontextmanager
async def tailing(web: Web, query: str) -> AsyncIterator[Tail]:
    async with (
        httpx.AsyncClient(timeout=DEADLINE_S) as client,
        client.stream("GET", f"{web.url}/api/tail?{query}") as response,
    ):
        yield Tail(response)


async def test_last_values_come_first_and_then_what_comes() -> None:
    async with serving() as web:
        web.publish("a/b", "1", "2")
        web.publish("c", "3")
        async with tailing(web, "filter=a/%23&filter=c") as tail:
            await tail.until(b"a/b 2\nc 3\n")
            web.publish("a/b", "with spaces and é")
            assert await tail.until(b"\xc3\xa9\n") == "a/b 2\nc 3\na/b with spaces and é\n".encode()
            headers = tail.response.headers
            assert headers["content-type"] == "text/plain; charset=utf-8"
            assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")


async def test_since_now_leaves_the_last_values_out_and_an_id_resumes() -> None:
    async with serving() as web:
        web.publish("a", "1", "2")
        async with tailing(web, "filter=a&since=now") as tail:
            await until(lambda: web.hub.size().channels == 1, "it watches")
            web.publish("a", "3")
            assert await tail.until(b"3\n") == b"a 3\n"
        async with tailing(web, "filter=a&since=e1-1") as tail:
            assert await tail.until(b"3\n") == b"a 2\na 3\n"


async def test_binary_payloads_go_out_as_they_are_and_empty_ones_have_a_word() -> None:
    async with serving() as web, tailing(web, "filter=a") as tail:
        await until(lambda: web.hub.size().channels == 1, "it watches")
        web.publish("a", b"\xff\x00\n\xfe", b"")
        assert await tail.until(b"(null)\n") == b"a \xff\x00\n\xfe\na (null)\n"


async def test_mode_and_rate_skip_what_was_overtaken() -> None:
    async with serving() as web, tailing(web, "filter=a&max_rate_hz=5") as tail:
        await until(lambda: web.hub.size().channels == 1, "it watches")
        for n in range(500):
            web.publish("a", str(n))
        assert (await tail.until(b"a 499\n")).count(b"\n") <= 3


async def test_what_was_missed_is_said_in_a_line_of_its_own() -> None:
    async with serving(HubLimits(log_messages=4, sweep_messages=1)) as web:
        web.publish("a", *map(str, range(20)))
        async with tailing(web, "filter=a&since=e1-1") as tail:
            expected = b"# some messages missed: it was too long ago\na 19\n"
            assert await tail.until(b"19\n") == expected


@pytest.mark.parametrize(
    ("gap", "line"),
    [
        (Gap(0, 39, [], reset=False, reason="slow"), b"# 39 messages missed: this reader was"),
        (Gap(0, None, [], reset=True, reason="restart"), b"# some messages missed: Fieldgate"),
        (Gap(0, None, [], reset=False, reason="link"), b"# some messages missed: the broker"),
    ],
)
def test_a_gap_is_one_line(gap: Gap, line: bytes) -> None:
    said = line_of_gap(gap)
    assert said.startswith(line)
    assert said.endswith(b"\n")
    assert said.count(b"\n") == 1


async def test_a_tail_that_goes_leaves_nothing_behind() -> None:
    async with serving() as web:
        async with tailing(web, "filter=a"):
            await until(lambda: web.hub.size().channels == 1, "it watches")
            assert [session.transport for session in web.state.roster] == ["tail"]
        await until(lambda: len(web.state.roster) == 0, "it is counted out")
        assert web.hub.size().channels == 0


async def test_a_tail_ends_cleanly_when_the_server_stops() -> None:
    async with contextlib.AsyncExitStack() as client:
        async with serving() as web:
            web.publish("a", "1")
            tail = await client.enter_async_context(tailing(web, "filter=a"))
            await tail.until(b"a 1\n")
        await tail.end()
        assert tail.bytes == b"a 1\n"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "bad_filter"),
        ("filter=a/%23/b", "bad_filter"),
        ("filter=a&since=nonsense", "bad_frame"),
        ("filter=a&mode=some", "bad_request"),
    ],
)
async def test_a_query_that_cannot_be_used_is_refused(query: str, code: str) -> None:
    async with serving() as web, httpx.AsyncClient(base_url=web.url) as client:
        response = await client.get(f"/api/tail?{query}")
        assert (response.status_code, response.json()["error"]["code"]) == (400, code)
        assert len(web.state.roster) == 0


async def test_rights_are_those_of_a_subscription(tmp_path: Path) -> None:
    users = users_in(tmp_path)
    async with serving(users=users) as web, httpx.AsyncClient(base_url=web.url) as client:
        refused = await client.get("/api/tail?filter=%23", auth=("wall", "right"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        url = "/api/tail?filter=fieldgate/%23"
        async with client.stream("GET", url, auth=("wall", "right")) as response:
            assert response.status_code == 200
    users.close()


def test_curl_prints_what_mosquitto_sub_prints(tmp_path: Path) -> None:
    """Byte by byte: the same last values and the same live messages, with the program's broker."""
    messages = [
        Message("t/a", b"21.5", retain=True),
        Message("t/b/c", "Füße, \t and more".encode(), QoS.AT_LEAST_ONCE),
        Message("t/b/c", b"\xff\xfe\x00binary"),
        Message("t/empty", b""),
        Message("t/a", b"22.5", QoS.AT_LEAST_ONCE, retain=True),
        Message("t/end", b"end"),
    ]
    publish, subscribe = program("mosquitto_pub"), program("mosquitto_sub")
    with running(tmp_path, "devices: []\n") as fieldgate:
        port = str(fieldgate.broker_port)

        def say(message: Message) -> None:
            options = ["-q", str(int(message.qos)), *(["-r"] if message.retain else [])]
            how = "-s" if message.payload else "-n"
            subprocess.run(
                [publish, "-p", port, "-t", message.topic, how, *options],
                input=message.payload,
                check=True,
                timeout=DEADLINE_S,
            )

        say(messages[0])
        last = httpx.get(f"{fieldgate.page_url}/api/topics?filter=t/%23")
        assert [each["payload"] for each in last.json()["topics"]] == ["21.5"]
        outputs = tmp_path / "mosquitto_sub.txt", tmp_path / "curl.txt"
        commands = (
            [subscribe, "-p", port, "-t", "t/#", "-v"],
            [program("curl"), "-sN", f"{fieldgate.page_url}/api/tail?filter=t/%23"],
        )
        with contextlib.ExitStack() as stack:
            for output, command in zip(outputs, commands, strict=True):
                process = subprocess.Popen(command, stdout=stack.enter_context(output.open("wb")))
                stack.callback(process.wait, DEADLINE_S)
                stack.callback(process.terminate)
            wait_until(
                lambda: all(output.read_bytes() for output in outputs), "both have the last value"
            )
            for message in messages[1:]:
                say(message)
            wait_until(
                lambda: all(each.read_bytes().endswith(b"t/end end\n") for each in outputs),
                "both have everything",
            )
        theirs, ours = (output.read_bytes() for output in outputs)
    assert ours == theirs
    assert ours.startswith(b"t/a 21.5\n")
