"""The way out of a WebSocket, past uvicorn's own `send`.

That makes a frame anew for each session, and a task for each must await it. What many sessions
get is the same bytes, so here a whole frame is written to the connection of each in one go. It
reaches the application as an extension of ASGI, in the scope.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from websockets.protocol import State

from webui.frame_slices import SlicedWebSocketProtocol
from webui.session import Outlet

EXTENSION = "fieldgate.outlet"


class OutletProtocol(SlicedWebSocketProtocol):
    """uvicorn's protocol as an `Outlet`: both write whole frames, so they may take turns.

    Frames are for connections without extensions: the server offers no compression.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_ready: Callable[[], None] = lambda: None

    @property
    def is_ready(self) -> bool:
        return self.writable.is_set() and self._is_open

    async def ready(self) -> None:
        while not self.is_ready:
            if not self._is_open:
                raise ConnectionAbortedError("the WebSocket closes")
            await self.writable.wait()

    def write(self, frame: bytes) -> None:
        self.transport.write(frame)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.is_ready:
            self.on_ready()

    async def run_asgi(self) -> None:
        self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]
        await super().run_asgi()

    @property
    def _is_open(self) -> bool:
        return self.conn.state is State.OPEN and not self.transport.is_closing()


def outlet_of(scope: Mapping[str, Any]) -> Outlet:
    """The way out of the WebSocket with this scope."""
    outlet: Outlet = scope["extensions"][EXTENSION]
    return outlet
