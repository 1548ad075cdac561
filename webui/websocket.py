"""`/api/ws`: a session over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.websockets import WebSocket, WebSocketDisconnect

from webui.close_code import TRY_AGAIN_LATER
from webui.ending import Ending
from webui.errors import RefusedError
from webui.identity import identity_of
from webui.outlet import outlet_of
from webui.roster import address_of
from webui.session import Session
from webui.state import WebState


async def websocket_endpoint(websocket: WebSocket) -> None:
    """Serve one browser until it goes."""
    state: WebState = websocket.app.state.web
    identity, address = identity_of(websocket.scope), address_of(websocket)
    try:
        entry = state.roster.enter(identity, address, "websocket")
    except RefusedError as refusal:
        await websocket.accept()
        await websocket.close(TRY_AGAIN_LATER, refusal.message)
        return
    outlet = outlet_of(websocket.scope)
    session = Session(state.hub, identity, state.publish_from(address), outlet)
    entry.subscriptions = session.subscriptions
    try:
        await websocket.accept()
        async with asyncio.TaskGroup() as tasks:
            closing = tasks.create_task(_close_at(entry.ending, session, websocket))
            await _read(websocket, session)
            closing.cancel()
    except* (WebSocketDisconnect, ConnectionError):
        pass
    finally:
        session.close()
        state.roster.leave(entry)


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


async def _close_at(ending: Ending, session: Session, websocket: WebSocket) -> None:
    await ending.wait()
    session.close()
    with contextlib.suppress(RuntimeError):  # the server closed it itself meanwhile
        await websocket.close(ending.code, ending.reason)
