"""`/api/tail`: messages as lines, as `mosquitto_sub -v` prints them, for curl."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request

from webui.operation import Operation, query_of
from webui.stream import MessageStream, StreamFormat, Wish
from webui.wire import Entry, Gap, Mode, RateHz, Since, TopicFilters, check_filters, payload_of

MEDIA_TYPE = "text/plain"

_REASONS = {
    "slow": "this reader was too slow",
    "resume": "it was too long ago",
    "restart": "Fieldgate was restarted",
    "link": "the broker was away",
}


class TailQuery(msgspec.Struct, frozen=True):
    """The query of `/api/tail`; `since=now` leaves the last values out."""

    filter: TopicFilters
    mode: Mode = "all"
    max_rate_hz: RateHz | None = None
    since: Since | None = None


async def tail(request: Request) -> MessageStream:
    """`GET /api/tail?filter=&…`: lines of `topic payload`: last values, then what comes.

    A payload goes out as the bytes it is, an empty one as `(null)`. Where messages were missed, a
    line says so that begins with `# `, as no topic can.
    """
    query = query_of(request, TailQuery)
    filters = check_filters(query.filter)
    form = StreamFormat("tail", f"{MEDIA_TYPE}; charset=utf-8", render=lines_of, gap=line_of_gap)
    return MessageStream(request, Wish(filters, query.mode, query.max_rate_hz, query.since), form)


TAIL = Operation("GET", "/api/tail", tail, query=TailQuery, media_type=MEDIA_TYPE)


def lines_of(entries: Sequence[Entry], _is_last: bool) -> bytes:
    """The lines of these messages."""
    return b"".join(
        [b"%b %b\n" % (entry.topic.encode(), payload_of(entry) or b"(null)") for entry in entries]
    )


def line_of_gap(gap: Gap) -> bytes:
    """The line that says that something is missing."""
    count = "some messages" if gap.missed is None else f"{gap.missed} messages"
    return f"# {count} missed: {_REASONS[gap.reason]}\n".encode()
