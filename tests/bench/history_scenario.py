"""What history costs the relay, and how soon it answers."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import cycle, islice
from pathlib import Path

import httpx

from tests.bench.load import TOPICS, CpuClock, Publisher, flat_out
from tests.bench.outlet import Outlet
from tests.bench.receiver import watching
from tests.bench.scenario import WINDOW, Figures, Scenario, Work, flow_figures
from tests.bench.side import Side, fieldgate_embedded
from tests.bench.stamp import MARK, percentile
from tests.real_ends import DEADLINE_S
from webui.history.batch import Batch
from webui.history.bucket import Bucket, Row
from webui.history.data_folder import FILE
from webui.history.database import Database
from webui.history.level import LEVELS, RAW, Level
from webui.history.series import SeriesKey

DAY_S = 86_400
SPANS = {
    "a year": 365 * DAY_S,
    "30 days": 30 * DAY_S,
    "a day": DAY_S,
    "an hour": 3600,
}
POINTS = 1000

_DEVICE = MARK.decode()  # in the topic, since a payload that is a number holds no mark


class NumberPublisher(Publisher):
    """Publishes numbers to a hundred points of one device in turn."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__(outlet, "bench")
        points = (f"fieldgate/{_DEVICE}/{n}" for n in range(TOPICS))
        self._packets = cycle([outlet.packet(point, b"21.5") for point in points])

    async def send(self, count: int) -> None:
        await self._outlet.send(*islice(self._packets, count))
        self.sent += count


@contextmanager
def fieldgate_forgetful(folder: Path) -> Iterator[Side]:
    """Fieldgate with the broker inside that records nothing."""
    with fieldgate_embedded(folder, "history: {size_mb: 0}\n", name="no history") as side:
        yield side


@contextmanager
def fieldgate_with_a_year(folder: Path) -> Iterator[Side]:
    """Fieldgate with a year of one value a second in its file."""
    (folder / "data").mkdir()
    _fill(folder / "data" / FILE)
    with fieldgate_embedded(folder) as side:
        yield side


async def recorded_to_one(side: Side, work: Work) -> Figures:
    return await _recorded(side, work, sessions=1)


async def recorded_to_many(side: Side, work: Work) -> Figures:
    return await _recorded(side, work, sessions=work.sessions)


async def _recorded(side: Side, work: Work, *, sessions: int) -> Figures:
    async with (
        watching(side, sessions, f"fieldgate/{_DEVICE}/+") as receivers,
        side.open_outlet(side.mqtt_port) as outlet,
    ):
        publisher = NumberPublisher(outlet)
        return flow_figures(await flat_out(side, publisher, receivers, work.seconds, WINDOW))


async def answers(side: Side, work: Work) -> Figures:
    """How long `/api/history` takes for each span, asked again and again on one connection."""
    figures: Figures = {}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{side.web_port}", timeout=DEADLINE_S
    ) as client:
        for span, span_s in SPANS.items():
            end_ms = int(time.time()) * 1000
            query: dict[str, str | int] = {
                "topic": "fieldgate/year/value",
                "from": end_ms - span_s * 1000,
                "to": end_ms,
                "points": POINTS,
            }
            times_ms: list[float] = []
            clock = CpuClock(side)
            end = time.monotonic() + work.seconds / len(SPANS)
            while not times_ms or time.monotonic() < end:
                began = time.monotonic()
                answer = (await client.get("/api/history", params=query)).json()
                times_ms.append(1e3 * (time.monotonic() - began))
                assert POINTS // 2 < len(answer["time"]) <= POINTS
            cpu_ms = 1e3 * clock.read().servers_s / len(times_ms)
            times_ms.sort()
            figures[f"{span}: p50, ms"] = percentile(times_ms, 50)
            figures[f"{span}: p99, ms"] = percentile(times_ms, 99)
            figures[f"{span}: CPU of servers, ms an answer"] = cpu_ms
    return figures


def _fill(path: Path) -> None:
    """Seconds for a day, minutes and hours for a year, as they are kept by default."""
    now_s = int(time.time()) // 3600 * 3600 + 3600
    with closing(Database(path, max_bytes=10**9)) as database:
        database.write(Batch(1, {1: SeriesKey("year", "value")}))
        with database.transaction():
            for level in LEVELS:
                span_s = DAY_S if level is RAW else SPANS["a year"]
                starts = range(now_s - span_s, now_s, level.width_s)
                database.put(level, ((1, _bucket(start, level)) for start in starts))
            database.file.execute("UPDATE series SET rolled_up = ?", (now_s,))
            database.file.execute("UPDATE state SET raw_since = ?", (now_s - DAY_S,))


def _bucket(start: int, level: Level) -> Bucket:
    mean = 20 + 5 * math.sin(start / 13_000)
    last_at = level.width_s * 1000 - 1000
    row: Row = (start, 0, last_at, mean - 1, mean, mean + 1, mean, level.width_s)
    return Bucket.from_row(row)


_RECORDING = (fieldgate_embedded, fieldgate_forgetful)

SCENARIOS = (
    Scenario("recorded-one", "numbers that are recorded, 1 session", recorded_to_one, _RECORDING),
    Scenario(
        "recorded-many", "numbers that are recorded, 100 sessions", recorded_to_many, _RECORDING
    ),
    Scenario(
        "year", "/api/history, 1,000 points of a value a second", answers, (fieldgate_with_a_year,)
    ),
)
