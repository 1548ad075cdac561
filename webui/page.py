"""The page itself: what the package build made of `webui/ui`, served as files."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

BUILT = Path(str(files("webui"))) / "static"
"""Where the package build puts the page."""

_NOT_BUILT = (
    "The page is not built. In a checkout, `make run` builds it; an installed package has it.\n"
    "The API works all the same: try /api/topics and /api/events?filter=%23\n"
)


class PageFiles(StaticFiles):
    """Files whose names hold their hash may be kept for ever; the page itself is asked for anew."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        is_hashed = path.startswith("assets/")
        response.headers["cache-control"] = (
            "public, max-age=31536000, immutable" if is_hashed else "no-cache"
        )
        return response


def page_route(folder: Path = BUILT) -> Mount | Route:
    """The route that serves the page at `/`, or one that says that it isn't built."""
    if (folder / "index.html").is_file():
        return Mount("/", PageFiles(directory=folder, html=True))
    return Route("/", _say_that_it_is_not_built)


async def _say_that_it_is_not_built(_request: Request) -> Response:
    return PlainTextResponse(_NOT_BUILT, 503)
