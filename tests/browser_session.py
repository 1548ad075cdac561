"""A browser's side of `/api/ws` for tests: it keeps the map that a page would show."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.real_ends import DEADLINE_S


class BrowserSession:
    """One subscription; `values` maps topic to payload, `messages` is all that came, in order."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._changed = asyncio.Event()
        self.values: dict[str, str] = {}
        self.messages: list[dict[str, Any]] = []
        self.gaps: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []

    async def send(self, **frame: object) -> None:
        await self._connection.send(json.dumps(frame))

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until what has come fulfils a condition."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not within {DEADLINE_S} s: {what}; {self.values}") from None

    async def read(self) -> None:
        async for text in self._connection:
            frame = json.loads(text)
            match frame["op"]:
                case "messages":
                    for message in frame["messages"]:
                        self._take(message)
                case "gap":
                    self.gaps.append(frame)
                    if frame["reset"]:
                        self.values.clear()
                case _:
                    self.answers.append(frame)
            self._changed.set()

    def _take(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        if message.get("gone"):
            self.values.pop(message["topic"], None)
        else:
            self.values[message["topic"]] = message["payload"]


@contextlib.asynccontextmanager
async def browsing(
    page_url: str, *filters: str, headers: Mapping[str, str] | None = None, **options: object
) -> AsyncIterator[BrowserSession]:
    """A session at a page's URL that subscribes to filters, if any are named."""
    url = page_url.replace("http://", "ws://") + "/api/ws"
    async with connect(url, max_size=None, additional_headers=headers) as connection:
        session = BrowserSession(connection)
        reading = asyncio.create_task(session.read())
        try:
            if filters:
                await session.send(op="subscribe", filters=filters, **options)
            yield session
        finally:
            reading.cancel()
            await asyncio.wait([reading])
