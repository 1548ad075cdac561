"""`/metrics`, for Prometheus: what is counted anyway, put into its words when it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Info, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from webui.door import Refusal
from webui.http_error import denied
from webui.identity import identity_of
from webui.operation import Operation
from webui.state import WebState

NOT_FOR_ALL = Refusal(
    401, "unauthorized", "Log in with a user of Fieldgate to see the metrics", challenge=True
)

Source = Callable[[], Iterable[Metric]]
"""What some part of the program has counted so far."""


class _Sources(Collector):
    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def collect(self) -> Iterable[Metric]:
        for source in self._sources:
            yield from source()


def register(sources: Sequence[Source], registry: CollectorRegistry, *, version: str) -> None:
    """Show all sources there, and what there is to say of the program and its process."""
    Info("fieldgate_build", "Which Fieldgate this is", registry=registry).info({"version": version})
    registry.register(_Sources(sources))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)


async def metrics(request: Request) -> Response:
    """`GET /metrics`: for Prometheus. Where users exist, one of them must ask."""
    identity = identity_of(request.scope)
    if identity.user is None and not identity.may_administer():
        return denied(NOT_FOR_ALL, is_browser=False)
    state: WebState = request.app.state.web
    headers = {"content-type": CONTENT_TYPE_PLAIN_0_0_4, "cache-control": "no-store"}
    return Response(generate_latest(state.metrics), headers=headers)


METRICS = Operation("GET", "/metrics", metrics, media_type="text/plain")
