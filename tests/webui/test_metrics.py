from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from broker.link import Message
from tests.browser_session import browsing
from tests.program import running
from tests.real_ends import DEADLINE_S, mosquitto
from tests.webui.client import Client
from tests.webui.serving import RecordingLink, serving
from tests.webui.test_auth import STARRED, users_in
from webui.bridge import Bridge
from webui.history.history import HistorySnapshot
from webui.hub import Hub, HubLimits
from webui.identity import EVERYBODY
from webui.metric_sources import (
    history_metrics,
    hub_metrics,
    link_metrics,
    reader_metrics,
    session_metrics,
)
from webui.metrics import Source, register
from webui.pacer import Pacer
from webui.roster import Roster

Samples = dict[str, float]


def samples(families: Iterable[Metric]) -> Samples:
    """Every sample by its name with its labels, as the text writes it."""
    found: Samples = {}
    for family in families:
        assert family.documentation, family.name
        for each in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(each.labels.items()))
            name = f"{each.name}{{{labels}}}" if labels else each.name
            assert name not in found, f"{name} stands there twice"
            found[name] = each.value
    return found


def exposed(*sources: Source) -> Samples:
    """What a scrape of these sources gives, read back by Prometheus's own parser."""
    registry = CollectorRegistry()
    register(sources, registry, version="1.2.3")
    return samples(text_string_to_metric_families(generate_latest(registry).decode()))


def hub_of(**limits: int) -> Hub:
    return Hub("e1", lambda topic: not topic.endswith("/set"), HubLimits(**limits))


def test_the_program_and_its_process_are_told() -> None:
    found = exposed()
    assert found['fieldgate_build_info{version="1.2.3"}'] == 1
    assert found["process_resident_memory_bytes"] > 1_000_000


def test_what_goes_through_the_hub_is_told() -> None:
    hub = hub_of()
    clients = [Client(hub, ("#",)), Client(hub, ("#",), mode="latest")]
    hub.publish([Message("a", b"1"), Message("a", b"2"), Message("a", b"")], time_ms=1)
    for client in clients:
        client.pull_all()
    found = exposed(hub_metrics(hub))
    assert found["fieldgate_messages_received_total"] == 3
    assert found["fieldgate_messages_delivered_total"] == 4
    assert found["fieldgate_messages_conflated_total"] == 2
    assert found["fieldgate_received_bytes_total"] == hub.size().log_bytes > 0
    assert found["fieldgate_delivered_bytes_total"] > found["fieldgate_received_bytes_total"]
    assert found["fieldgate_channels"] == 1
    assert found["fieldgate_tombstones"] == 1
    assert found["fieldgate_last_values"] == 0


def test_gaps_are_told_by_their_reasons_and_those_that_were_none_are_zero() -> None:
    hub = hub_of(log_messages=2, sweep_messages=1)
    client = Client(hub, ("#",))
    hub.publish([Message("a", b"1")] * 10, time_ms=1)
    client.pull_all()
    found = exposed(hub_metrics(hub))
    gaps = {name: value for name, value in found.items() if name.startswith("fieldgate_gaps_total")}
    assert gaps == {
        'fieldgate_gaps_total{reason="slow"}': 1,
        'fieldgate_gaps_total{reason="resume"}': 0,
        'fieldgate_gaps_total{reason="restart"}': 0,
        'fieldgate_gaps_total{reason="link"}': 0,
    }
    assert found["fieldgate_messages_missed_total"] == client.missed == 9


def test_the_slowest_subscription_is_told() -> None:
    hub = hub_of()
    assert exposed(hub_metrics(hub))["fieldgate_slowest_cursor_seconds"] == 0
    quick, _slow = Client(hub, ("#",)), Client(hub, ("#",))
    hub.publish([Message("a", b"1")] * 7, time_ms=1)
    quick.pull_all()
    found = exposed(hub_metrics(hub))
    assert found["fieldgate_slowest_cursor_messages"] == 7
    assert found["fieldgate_slowest_cursor_seconds"] > 1_000_000


def test_sessions_are_told_by_how_they_come() -> None:
    roster = Roster()
    roster.leave(roster.enter(EVERYBODY, "127.0.0.1", "websocket"))
    roster.enter(EVERYBODY, "127.0.0.1", "events")
    found = exposed(session_metrics(roster))
    assert found['fieldgate_sessions{transport="websocket"}'] == 0
    assert found['fieldgate_sessions{transport="events"}'] == 1
    assert found['fieldgate_sessions_opened_total{transport="websocket"}'] == 1
    assert found['fieldgate_sessions_refused_total{reason="address"}'] == 0


async def test_the_broker_s_link_is_told() -> None:
    hub = hub_of()
    link = RecordingLink()
    bridge = Bridge(hub, Pacer(hub), "fieldgate", "n1")
    bridge.attach(link)
    assert exposed(link_metrics(bridge))["fieldgate_ready"] == 0
    bridge.link_up()
    bridge.receive([link.published[-1]])
    found = exposed(link_metrics(bridge))
    assert (found["fieldgate_ready"], found["fieldgate_broker_connects_total"]) == (1, 1)


def test_history_tells_what_waits_for_the_disk() -> None:
    now = HistorySnapshot("failing", series=3, samples=20, rows=7, waiting_rows=5, failures=2)
    found = exposed(history_metrics(lambda: now))
    assert found["fieldgate_history_recording"] == 0
    assert found["fieldgate_history_waiting_rows"] == 5
    assert found["fieldgate_history_samples_total"] == 20
    assert found["fieldgate_history_failures_total"] == 2


def test_history_that_is_off_says_no_more_than_that() -> None:
    found = exposed(history_metrics(HistorySnapshot))
    assert [name for name in found if "history" in name] == ["fieldgate_history_recording"]
    assert found["fieldgate_history_recording"] == 0


# --- what the readers say


HEALTH = {
    "time": "2026-11-21T08:15:30.250Z",
    "read_to_publish": {"buckets": {"0.001": 2, "0.1": 3, "+Inf": 4}, "sum": 7.5},
    "devices": {
        "boiler": {"state": "online", "reason": "", "opened": 2, "measurements": 10,
                   "rejected": {"no_json": 1}, "dropped": {"not_listed": 3}},
        "tank": {"state": "offline", "reason": "unplugged", "opened": 0, "measurements": 0,
                 "rejected": {}, "dropped": {}},
    },
}  # fmt: skip


def readers(state: object, health: object) -> Samples:
    said = {"fieldgate/bridge/state": state, "fieldgate/bridge/health": health}

    def last_payload(topic: str) -> bytes | None:
        value = said[topic]
        return value if value is None or isinstance(value, bytes) else json.dumps(value).encode()

    found = exposed(reader_metrics(last_payload, "fieldgate"))
    return {
        name: value
        for name, value in found.items()
        if name.startswith(("fieldgate_read", "fieldgate_readers"))
    }


def test_what_the_readers_say_of_themselves_is_told() -> None:
    found = readers({"state": "online"}, HEALTH)
    assert found["fieldgate_readers_online"] == 1
    assert found['fieldgate_reader_online{device="boiler"}'] == 1
    assert found['fieldgate_reader_online{device="tank"}'] == 0
    assert found['fieldgate_reader_opened_total{device="boiler"}'] == 2
    assert found['fieldgate_reader_measurements_total{device="boiler"}'] == 10
    assert found['fieldgate_reader_rejected_total{device="boiler",reason="no_json"}'] == 1
    assert found['fieldgate_reader_dropped_total{device="boiler",reason="not_listed"}'] == 3
    assert found['fieldgate_read_to_publish_seconds_bucket{le="0.1"}'] == 3
    assert found["fieldgate_read_to_publish_seconds_count"] == 4
    assert found["fieldgate_read_to_publish_seconds_sum"] == 7.5


def test_no_reader_is_online_when_the_readers_role_is_not() -> None:
    found = readers({"state": "offline"}, HEALTH)
    assert found["fieldgate_readers_online"] == 0
    assert found['fieldgate_reader_online{device="boiler"}'] == 0
    assert found['fieldgate_reader_measurements_total{device="boiler"}'] == 10


@pytest.mark.parametrize(
    "health",
    [
        None,
        b"",
        b"\xff",
        [],
        {"devices": []},
        {"devices": {"boiler": {"state": "perhaps"}}},
        {"devices": {"boiler": {"state": "online", "measurements": 10**400}}},
        {"devices": {"boiler": {"state": "online", "rejected": {"checksum": -1}}}},
        {"devices": {}, "read_to_publish": {"buckets": {"1": "many"}, "sum": 0}},
        {"devices": {}, "read_to_publish": {"buckets": {"+Inf": 10**400}, "sum": 0}},
    ],
    ids=lambda health: str(health)[:60],
)
def test_what_is_no_health_is_not_told(health: object) -> None:
    assert readers(b"nonsense", health) == {"fieldgate_readers_online": 0}


@pytest.mark.parametrize(
    "buckets",
    [{}, {"1": 1}, {"2": 1, "1": 1, "+Inf": 1}, {"x": 1, "+Inf": 1}, {"-1": 1, "+Inf": 1}],
)
def test_a_histogram_that_is_none_is_not_told(buckets: dict[str, int]) -> None:
    health = {"devices": {}, "read_to_publish": {"buckets": buckets, "sum": 0}}
    assert readers({"state": "online"}, health) == {"fieldgate_readers_online": 1}


def test_names_that_need_escaping_are_read_back_as_they_are() -> None:
    health = {"devices": {'a"b\\c\nd': {"state": "online"}}}
    found = readers({"state": "online"}, health)
    assert found['fieldgate_reader_online{device="a"b\\c\nd"}'] == 1


# --- the page that Prometheus asks for


async def test_it_comes_in_the_format_that_every_prometheus_reads() -> None:
    async with serving() as web, httpx.AsyncClient(base_url=web.url) as http:
        register([hub_metrics(web.hub)], web.state.metrics, version="1.2.3")
        response = await http.get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(text_string_to_metric_families(response.text))
    assert found["fieldgate_messages_received_total"] == 0


@pytest.mark.parametrize(
    ("user", "text", "status"), [(None, None, 401), ("wall", None, 200), (None, STARRED, 401)]
)
async def test_where_users_exist_one_of_them_must_ask(
    tmp_path: Path, user: str | None, text: str | None, status: int
) -> None:
    users = users_in(tmp_path, *([text] if text else []))
    async with serving(users=users) as web, httpx.AsyncClient(base_url=web.url) as http:
        response = await http.get("/metrics", auth=(user, "right") if user else None)
        assert response.status_code == status
        assert ("www-authenticate" in response.headers) is (status == 401)
    users.close()


async def test_each_hop_from_hardware_to_browser_is_timed(tmp_path: Path) -> None:
    hops = ("read_to_publish", "publish_to_relay", "relay_to_session")
    with mosquitto(tmp_path) as broker:
        config = f"broker: {{engine: external, url: '{broker.url}'}}\n"
        with running(tmp_path, config) as fieldgate:
            async with (
                browsing(fieldgate.page_url, "#"),
                httpx.AsyncClient(base_url=fieldgate.page_url, timeout=DEADLINE_S) as http,
                asyncio.timeout(DEADLINE_S * 2),
            ):
                found: Samples = {}
                while not all(found.get(f"fieldgate_{hop}_seconds_count") for hop in hops):
                    await asyncio.sleep(0.1)
                    text = (await http.get("/metrics")).text
                    found = samples(text_string_to_metric_families(text))
    for hop in hops:
        name = f"fieldgate_{hop}_seconds"
        assert found[f"{name}_sum"] / found[f"{name}_count"] < 5
    assert found['fieldgate_reader_online{device="host"}'] == 1
    assert found["fieldgate_ready"] == 1
    assert found["fieldgate_history_recording"] == 1
    assert found['fieldgate_sessions{transport="websocket"}'] == 1
