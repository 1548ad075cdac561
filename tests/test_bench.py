"""The bench runs, so that it can't rot; how fast anything is is not for tests to say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import broker_client
from tests.bench.__main__ import FAMILIES, measured
from tests.bench.broker_client import Publisher, Subscriber
from tests.bench.broker_load import Traffic
from tests.bench.broker_side import amqtt_alone
from tests.bench.scenario import Scenario, Start, Work
from tests.bench.side import Side, client_frame, mosquitto_web
from tests.bench.stamp import MARK, PAYLOAD_BYTES, latencies_ns, payload, percentile
from tests.bench.table import Row, as_markdown, as_text, number
from tests.mqtt_packets import packet, publish, text
from tests.real_ends import program

A_LITTLE = Work(
    seconds=0.1,
    sessions=3,
    crowd=4,
    topics=30,
    idle=2,
    clients=3,
    filters=5,
    newcomers=1,
    fill_messages=2,
    log_messages=500,
    frozen_messages=500,
    most_lines_hz=250,
)
SCENARIOS = tuple(each for scenarios in FAMILIES.values() for each in scenarios)
STARTS = tuple(dict.fromkeys(start for scenario in SCENARIOS for start in scenario.starts))


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.__name__)
async def test_every_scenario_runs_on_every_side(start: Start[Any], tmp_path: Path) -> None:
    with start(tmp_path) as side:
        for scenario in _of(start):
            figures = await scenario.measure(side, A_LITTLE)
            assert figures
            assert all(math.isfinite(value) for value in figures.values()), figures
            lost = figures.get("lost", 0)
            assert lost == 0 or (lost < 0 and start is amqtt_alone)  # it says retained ones twice
            assert not any(process.status() == "zombie" for process in side.processes)


def test_a_peer_that_is_not_installed_is_said_to_be_missing_and_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @contextmanager
    def gone_web(_folder: Path) -> Iterator[Side]:
        program("no-such-program")
        yield  # type: ignore[misc]  # never reached

    idle = next(scenario for scenario in SCENARIOS if scenario.name == "idle")
    rows = measured(replace(idle, starts=(gone_web, mosquitto_web)), A_LITTLE, 2)
    assert {name for row in rows for name in row.rounds} == {"Mosquitto"}
    assert capsys.readouterr().out.count("goes without gone_web: no-such-program is not") == 1
    assert measured(replace(idle, starts=(gone_web,)), A_LITTLE, 1) == []


def _of(start: Start[Any]) -> list[Scenario[Any]]:
    return [scenario for scenario in SCENARIOS if start in scenario.starts]


@given(st.lists(st.sampled_from([1, 2, 300]), max_size=20), st.integers(1, 50))
def test_packets_are_taken_apart_however_their_bytes_were_cut(ids: list[int], size: int) -> None:
    stream = b"".join(
        qos_1_packet(packet_id) + b"\x40\x02" + packet_id.to_bytes(2, "big") for packet_id in ids
    )
    client = Subscriber()
    found = [
        each
        for at in range(0, len(stream), size)
        for each in client.take_apart(stream[at : at + size])
    ]
    assert found == [
        (kind, packet_id.to_bytes(2, "big"))
        for packet_id in ids
        for kind in (broker_client.PUBLISH, broker_client.PUBACK)
    ]


def qos_1_packet(packet_id: int) -> bytes:
    return packet(0x32, text("a/b") + packet_id.to_bytes(2, "big") + payload(0))


async def test_messages_that_do_not_come_as_they_were_sent_are_no_result() -> None:
    publisher, subscriber = Publisher("a"), Subscriber()
    traffic = Traffic([publisher], [subscriber])
    subscriber.data_received(publish("a", payload(0)))
    traffic.check()
    subscriber.data_received(publish("a", payload(0))[:-1])
    with pytest.raises(ValueError, match="2 messages came as 137 bytes"):
        traffic.check()


@given(st.lists(st.integers(0, 10**18), max_size=20), st.integers(1, 200), st.integers(0, 10**18))
def test_latencies_do_not_depend_on_how_the_bytes_were_cut(
    stamps: list[int], size: int, since: int
) -> None:
    stream = b"".join(b"\x81\x7e" + payload(stamp) for stamp in stamps)
    chunks = [(10**18, stream[at : at + size]) for at in range(0, len(stream), size)]
    expected = [10**18 - stamp for stamp in stamps if stamp >= since]
    assert list(latencies_ns(chunks, since)) == expected


def test_every_payload_holds_one_mark_and_has_the_same_length() -> None:
    assert {len(payload(0)), len(payload(10**18))} == {PAYLOAD_BYTES}
    assert payload(10**18).count(MARK) == 1


def test_a_percentile_is_the_value_that_so_many_do_not_exceed() -> None:
    assert percentile([1, 2, 3, 4], 50) == 2
    assert percentile([float(value) for value in range(1, 1001)], 99) == 990
    assert math.isnan(percentile([], 50))


@pytest.mark.parametrize("size", [0, 125, 126, 1000])
def test_a_client_frame_tells_its_length(size: int) -> None:
    content = b"x" * size
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    assert client_frame(1, content) == head + bytes(4) + content


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1_234_567, "1,230,000"), (20.44, "20.4"), (2.044, "2.04"), (0.05194, "0.0519"), (0, "0")],
)
def test_numbers_are_shown_to_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_table_shows_medians_spreads_and_ratios_of_medians_for_each_peer() -> None:
    rows = [
        Row("relay", "deliveries/s", {"Fieldgate": (100, 300, 200), "Mosquitto": (50, 50, 50)}),
        Row("relay", "lost", {"Fieldgate": (0,), "Mosquitto": (0,)}),
        Row("serial", "lines/s", {"Fieldgate": (7,)}),
        Row("clients", "kB", {"Fieldgate": (6,), "Mosquitto": (2,), "amqtt": (60,)}),
    ]
    assert as_markdown(rows).splitlines() == [
        "| work | figure | Fieldgate | Mosquitto | ratio | amqtt | ratio |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        "| relay | deliveries/s | 200 (100 to 300) | 50 | 4 | - | - |",
        "|  | lost | 0 | 0 | - | - | - |",
        "| serial | lines/s | 7 | - | - | - | - |",
        "| clients | kB | 6 | 2 | 3 | 60 | 0.1 |",
    ]
    assert len(as_text(rows).splitlines()) == 5
