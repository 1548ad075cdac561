"""`/mqtt`: MQTT over a WebSocket, carried to the broker inside.

Who it is, CONNECT says; where it names nobody, the login's cookie does.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from broker.serving import Attached
from webui.auth import MUST_LOG_IN
from webui.ending import Ending
from webui.identity import identity_of
from webui.roster import address_of
from webui.state import WebState

SUBPROTOCOLS = ("mqtt", "mqttv3.1")
"""[MQTT-6.0.0-3]; the second is what clients before MQTT 3.1.1 ask for."""

UNSUPPORTED_DATA = 1003
"""The close code for a text frame: MQTT comes in binary ones [MQTT-6.0.0-1]."""


_CLOSED = (WebSocketDisconnect, RuntimeError)
"""What sending raises where the other way has closed the WebSocket already."""


async def mqtt_endpoint(websocket: WebSocket) -> None:
    """Carry one MQTT client's bytes until it goes, or the broker has done with it."""
    state: WebState = websocket.app.state.web
    offered = websocket.scope["subprotocols"]
    subprotocol = next((each for each in SUBPROTOCOLS if each in offered), None)
    if state.attach is None:
        await _refuse(websocket, 404, "There is no broker in this process that MQTT could go to")
        return
    if subprotocol is None:
        await _refuse(websocket, 400, "Ask for the WebSocket subprotocol mqtt")
        return
    identity = identity_of(websocket.scope)
    must_log_in = bool(websocket.scope[MUST_LOG_IN])
    attached = state.attach(address_of(websocket), must_log_in=must_log_in, known_as=identity.user)
    if attached is None:
        await _refuse(websocket, 503, "There are too many connections: try again later")
        return
    try:
        with state.carried(identity) as ending:
            await websocket.accept(subprotocol)
            await _carry(websocket, attached, state, ending)
            if ending.code:
                attached.lost()  # at once: a page that reads nothing holds up the close
                with contextlib.suppress(*_CLOSED):
                    await websocket.close(ending.code, ending.reason)
    finally:
        attached.lost()


async def _carry(websocket: WebSocket, attached: Attached, state: WebState, ending: Ending) -> None:
    """Both ways at once; the first way that ends is the end, or the end of the login."""
    stopping = asyncio.create_task(_stop(state, attached))
    ways = [
        asyncio.create_task(ending.wait()),
        asyncio.create_task(_receive(websocket, attached)),
        asyncio.create_task(_send(websocket, attached)),
        asyncio.create_task(attached.aborted()),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (stopping, *ways):
            task.cancel()
        results = await asyncio.gather(stopping, *ways, return_exceptions=True)
    for error in results:
        if isinstance(error, Exception) and not isinstance(error, _CLOSED):
            raise error


async def _receive(websocket: WebSocket, attached: Attached) -> None:
    while True:
        event = await websocket.receive()
        if event["type"] == "websocket.disconnect":
            return
        data = event.get("bytes")
        if data is None:
            await websocket.close(UNSUPPORTED_DATA, "MQTT comes in binary frames")
            return
        await attached.feed(data)


async def _send(websocket: WebSocket, attached: Attached) -> None:
    while data := await attached.read():
        await websocket.send_bytes(data)
    await websocket.close()


async def _stop(state: WebState, attached: Attached) -> None:
    """Say goodbye when the web server stops; changed users are the broker's own business."""
    await state.stopping.wait()
    attached.stop()


async def _refuse(websocket: WebSocket, status: int, message: str) -> None:
    await websocket.send_denial_response(PlainTextResponse(f"{message}\n", status))


mqtt_route = WebSocketRoute("/mqtt", mqtt_endpoint)
