"""The web application: routes, and the doorkeeper in front of all of them."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Mount

from webui.api import api_routes
from webui.errors import RefusedError
from webui.http_error import on_http_exception, on_refused
from webui.mqtt import mqtt_route
from webui.page import page_route
from webui.state import WebState


def web_application(state: WebState, *, base_path: str = "") -> Starlette:
    """The Starlette application, below `base_path`, without a doorkeeper."""
    routes: list[BaseRoute] = [*api_routes(), mqtt_route, page_route()]
    app = Starlette(
        routes=[Mount(base_path, routes=routes)] if base_path else routes,
        exception_handlers={RefusedError: on_refused, HTTPException: on_http_exception},
    )
    app.state.web = state
    return app
