"""`/api/ws`: a session over a WebSocket."""

from __future__ import annotations

import asyncio

from starlette.websockets import WebSocket, WebSocketDisconnect

from webui.auth import identity_of
from webui.errors import RefusedError
from webui.session import Session
from webui.state import Ending, WebState

TRY_AGAIN_LATER = 1013
"""The close code for one session too many [IANA WebSocket Close Code registry]."""


async def websocket_endpoint(websocket: WebSocket) -> None:
    """Serve one browser until it goes."""
    state: WebState = websocket.app.state.web
    with state.counted() as is_admitted:
        await websocket.accept()
        if not is_admitted:
            await websocket.close(TRY_AGAIN_LATER, "too many sessions: try again later")
            return
        session = Session(
            state.hub, identity_of(websocket.scope), state.publish, websocket.send_text
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                delivering = tasks.create_task(session.deliver())
                ending = tasks.create_task(_close_at(state.ending, websocket))
                await _read(websocket, session)
                delivering.cancel()
                ending.cancel()
        except* WebSocketDisconnect:
            pass
        finally:
            session.close()


async def _read(websocket: WebSocket, session: Session) -> None:
    while True:
        event = await websocket.receive()
        if event["type"] == "websocket.disconnect":
            return
        text = event.get("text")
        if text is None:
            await session.refuse(RefusedError("bad_frame", "send text frames, not binary ones"))
        else:
            await session.answer(text)


async def _close_at(ending: Ending, websocket: WebSocket) -> None:
    await ending.wait()
    await websocket.close(ending.code, ending.reason)
