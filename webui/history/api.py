"""`/api/history`: columns for a chart, and all that there is as CSV or JSON."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from broker.errors import TopicError
from broker.topics import check_name
from webui.errors import RefusedError
from webui.history.reading import ExportRow
from webui.identity import Identity, identity_of
from webui.operation import Operation, json_response, query_of
from webui.state import WebState
from webui.wire import TopicName, encode_json

MIN_POINTS, MAX_POINTS = 10, 10_000
LAST_MS = 253_402_300_800_000
"""The end of the year 9999, where ISO 8601 ends."""

_HOUR_MS = 3_600_000

Moment = Annotated[int, msgspec.Meta(ge=0, le=LAST_MS)]


class HistoryQuery(msgspec.Struct, frozen=True):
    """The query of `/api/history`: ms since 1970, from `from` to before `to`, which is now where it
    isn't said; `from` is an hour before. `field` names one of the payload's JSON."""

    topic: TopicName
    field: str = ""
    start: Moment | None = msgspec.field(default=None, name="from")
    end: Moment | None = msgspec.field(default=None, name="to")
    points: Annotated[int, msgspec.Meta(ge=MIN_POINTS, le=MAX_POINTS)] = 1000


class HistoryColumns(msgspec.Struct):
    """What a chart draws, ascending by time: when the first sample of each point came (ms since
    1970), and the least, the mean and the greatest of all its samples; true is 1, false is 0."""

    time: Sequence[int]
    min: Sequence[float]
    mean: Sequence[float]
    max: Sequence[float]


class ExportQuery(msgspec.Struct, frozen=True):
    """The query of `/api/history/export`: as that of `/api/history`, but from the beginning."""

    topic: TopicName
    field: str = ""
    start: Moment = msgspec.field(default=0, name="from")
    end: Moment | None = msgspec.field(default=None, name="to")
    format: Literal["csv", "json"] = "csv"


async def history(request: Request) -> Response:
    """`GET /api/history?topic=&field=&from=&to=&points=`: what a topic was, ready to be drawn."""
    query = query_of(request, HistoryQuery)
    _check_right(query.topic, identity_of(request.scope))
    end = _now_ms() if query.end is None else query.end
    start = max(0, end - _HOUR_MS) if query.start is None else query.start
    _check_order(start, end)
    columns = await _state(request).history.columns(
        query.topic, query.field, start, end, query.points
    )
    return json_response(HistoryColumns(columns.time, columns.low, columns.mean, columns.high))


async def export(request: Request) -> Response:
    """`GET /api/history/export?topic=&field=&from=&to=&format=`: every row, as fine as it is kept.

    Rows are as wide as `seconds` says: 1 where there are samples, then 60, then 3600. CSV has times
    in ISO 8601, JSON in ms since 1970.
    """
    query = query_of(request, ExportQuery)
    _check_right(query.topic, identity_of(request.scope))
    end = _now_ms() if query.end is None else query.end
    _check_order(query.start, end)
    pieces = _state(request).history.rows(query.topic, query.field, query.start, end)
    first = await anext(pieces, None)  # what is refused must be so before anything is sent
    encode, media_type = _FORMATS[query.format]
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{query.topic}_{query.field}").strip("_")[:100]
    return StreamingResponse(
        _stream(first or (), pieces, encode),
        media_type=media_type,
        headers={
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="{name}.{query.format}"',
        },
    )


Encode = Callable[[Sequence[ExportRow] | None, bool], bytes]
"""Rows as text, or what stands at the end; true for what comes first."""


async def _stream(
    first: Sequence[ExportRow], others: AsyncIterator[Sequence[ExportRow]], encode: Encode
) -> AsyncIterator[bytes]:
    """Piece by piece, as fast as it is taken."""
    yield encode(first, True)
    async for piece in others:
        yield encode(piece, False)
    yield encode(None, False)


def _csv(rows: Sequence[ExportRow] | None, is_first: bool) -> bytes:
    lines = [b"time,seconds,min,mean,max,last,count\r\n"] if is_first else []
    for row in rows or ():
        moment = datetime.fromtimestamp(row.time / 1000, UTC).isoformat(timespec="milliseconds")
        numbers = (row.width, row.low, row.mean, row.high, row.last, row.samples)
        line = ",".join([moment.replace("+00:00", "Z"), *map(repr, numbers)])
        lines.append(f"{line}\r\n".encode())
    return b"".join(lines)


def _json(rows: Sequence[ExportRow] | None, is_first: bool) -> bytes:
    if rows is None:
        return b"]\n"
    objects = [
        encode_json(
            {
                "time": row.time,
                "seconds": row.width,
                "min": row.low,
                "mean": row.mean,
                "max": row.high,
                "last": row.last,
                "count": row.samples,
            }
        )
        for row in rows
    ]
    return (b"[" if is_first else b",\n" if objects else b"") + b",\n".join(objects)


_FORMATS: dict[str, tuple[Encode, str]] = {
    "csv": (_csv, "text/csv; charset=utf-8; header=present"),
    "json": (_json, "application/json"),
}

HISTORY = Operation("GET", "/api/history", history, query=HistoryQuery, answer=HistoryColumns)
EXPORT = Operation(
    "GET",
    "/api/history/export",
    export,
    query=ExportQuery,
    media_type="text/csv",
    other_media_types=("application/json",),
)


def _check_right(topic: str, identity: Identity) -> None:
    """Who may not watch a topic doesn't see what it was."""
    try:
        check_name(topic)
    except TopicError as error:
        raise RefusedError("bad_topic", str(error)) from None
    if not identity.may_subscribe(topic):
        raise RefusedError("forbidden", f"may not subscribe to {topic}")


def _check_order(start: int, end: int) -> None:
    if start >= end:
        raise RefusedError("bad_request", "from must be before to, in ms since 1970")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _state(request: Request) -> WebState:
    state = request.app.state.web
    assert isinstance(state, WebState)
    return state
