"""What a newcomer does first: start it without a config, look, and stop it."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import httpx

from tests.browser_session import browsing
from tests.program import Program, running
from tests.real_ends import free_port, mosquitto, program


async def test_this_machine_is_seen_by_mqtt_by_events_and_in_a_browser(tmp_path: Path) -> None:
    with running(tmp_path) as fieldgate:
        async with browsing(fieldgate.page_url, "fieldgate/#") as session:
            await session.until(
                lambda: "fieldgate/host/cpu_percent" in session.values, "the host's CPU is shown"
            )
            first = len(session.messages)
            await session.until(
                lambda: any(
                    message["topic"] == "fieldgate/host" and "last" not in message
                    for message in session.messages[first:]
                ),
                "its state moves",
            )
            state = json.loads(session.values["fieldgate/host"])
            assert 0 <= state["cpu_percent"] <= 100
            assert state["time"].endswith("Z")
            assert session.values["fieldgate/host/availability"] == '{"state":"online"}'

        watching = await asyncio.create_subprocess_exec(
            program("mosquitto_sub"),
            *("-p", str(fieldgate.broker_port), "-t", "fieldgate/#", "-v", "-C", "20", "-W", "20"),
            stdout=asyncio.subprocess.PIPE,
        )
        seen, _ = await watching.communicate()
        assert b"fieldgate/host/cpu_percent " in seen

        async with (
            httpx.AsyncClient() as client,
            client.stream("GET", f"{fieldgate.page_url}/api/events?filter=fieldgate/%23") as events,
        ):
            lines = events.aiter_lines()
            assert await anext(lines) == ":"
            assert await anext(lines) == "retry: 3000"
            data = [await anext(lines) for _ in range(10)]
            assert any('"last":true' in line for line in data)

        assert fieldgate.stop() == 0


def test_it_says_where_everything_is(tmp_path: Path) -> None:
    with running(tmp_path) as fieldgate:
        assert f"mosquitto_sub -h 127.0.0.1 -p {fieldgate.broker_port}" in fieldgate.output
        assert httpx.get(f"{fieldgate.page_url}/health/live").json() == {"status": "live"}
        devices = httpx.get(f"{fieldgate.page_url}/api/devices").json()
        assert devices["base"] == "fieldgate"


def test_a_port_that_mosquitto_has_is_named_with_both_remedies(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        config = tmp_path / "fieldgate.yaml"
        config.write_text(
            f"broker: {{listeners: ['{broker.url}']}}\nweb: {{listen: 127.0.0.1:0}}\n"
        )
        fieldgate = Program(config)
        assert fieldgate.wait() == 1
        assert f"127.0.0.1:{broker.port} is taken" in fieldgate.output
        assert "broker.listeners" in fieldgate.output
        assert "engine: external" in fieldgate.output
        assert "Traceback" not in fieldgate.output


def test_a_web_port_that_is_taken_is_named_too(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        port = first.page_url.rpartition(":")[2]
        other = tmp_path / "other"
        other.mkdir()
        config = other / "fieldgate.yaml"
        config.write_text(
            f"web: {{listen: 127.0.0.1:{port}}}\n"
            f"broker: {{listeners: [mqtt://127.0.0.1:{free_port()}]}}\n"
        )
        second = Program(config)
        assert second.wait() == 1
        assert f"127.0.0.1:{port} is taken" in second.output
        assert "web.listen" in second.output


def test_a_second_process_on_the_same_data_says_so_and_stops(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        second = Program(tmp_path / "fieldgate.yaml")
        assert second.wait() == 1
        assert f"process {first.pid}" in second.output
        assert "data folder" in second.output


def test_a_second_gateway_on_the_same_broker_says_so_and_stops(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        config = f"broker: {{engine: external, url: '{broker.url}'}}\n"
        folders = [tmp_path / "one", tmp_path / "two"]
        for folder in folders:
            folder.mkdir()
        with running(folders[0], config) as first:
            (folders[1] / "fieldgate.yaml").write_text(config + "web: {listen: 127.0.0.1:0}\n")
            second = Program(folders[1] / "fieldgate.yaml")
            assert second.wait() == 1
            assert "another gateway" in second.output
            assert "base_topic" in second.output
            assert first.is_running


def test_it_can_be_stopped_while_it_is_still_starting(tmp_path: Path) -> None:
    config = tmp_path / "fieldgate.yaml"
    config.write_text(
        "web: {listen: 127.0.0.1:0}\nbroker: {listeners: [mqtt://127.0.0.1:0]}\n"
        "devices: [{name: host, reader: {type: host}}]\n"
    )
    for number in (1, 4, 7):
        fieldgate = Program(config)
        time.sleep(number / 10)
        for _ in range(10):  # Python can lose an interrupt amid an import; a person asks again
            if fieldgate.is_running:
                os.kill(fieldgate.pid, signal.SIGINT)
                time.sleep(1)
        assert fieldgate.wait() in (0, -2, 130), fieldgate.output
