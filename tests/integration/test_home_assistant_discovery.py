"""What Home Assistant is told of our devices, over a restart, a rename and a removal."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.browser_session import BrowserSession, browsing
from tests.program import ROOT, running
from tests.real_ends import DEADLINE_S, mosquitto
from tests.serial_line import SerialLine, serial_line

CONFIG = """
broker: {{engine: external, url: mqtt://127.0.0.1:{port}}}
web: {{listen: 127.0.0.1:0}}
home_assistant: {{enabled: true}}
devices:
  - name: {name}
    id: boiler
    reader: {{type: serial, port: {line}}}
    decoder: {{type: key_value}}
    points:
      pump: {{type: boolean, write: "PUMP {{value}}\\n"}}
"""
EMPTY = """
broker: {{engine: external, url: mqtt://127.0.0.1:{port}}}
web: {{listen: 127.0.0.1:0}}
home_assistant: {{enabled: true}}
devices: []
"""
BOILER = "homeassistant/device/fieldgate_boiler/config"


def ha(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", "ha", *arguments, "-c", str(folder / "fieldgate.yaml")],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_S,
    )
    return ended.stdout


def entities(session: BrowserSession) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(session.values.get(BOILER, "{}")).get("components", {})
    return found


async def test_a_device_is_announced_found_again_renamed_and_taken_away(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, serial_line(tmp_path) as line:
        names = {"port": broker.port, "line": line.path}
        with running(tmp_path, CONFIG.format(name="boiler", **names)) as fieldgate:
            async with browsing(fieldgate.page_url, "homeassistant/#", "fieldgate/#") as session:
                await session.until(lambda: "pump" in entities(session), "it is announced")
                _speak(line)
                await session.until(lambda: "flow" in entities(session), "its points are found")
                assert "+" not in ha(tmp_path, "plan")
            before = entities(session)

        with running(tmp_path, CONFIG.format(name="kessel", **names)) as fieldgate:
            async with browsing(fieldgate.page_url, "homeassistant/#", "fieldgate/#") as session:
                await session.until(
                    lambda: "fieldgate/kessel/availability" in session.values, "it is renamed"
                )
                moved = "fieldgate/kessel/flow"
                await session.until(
                    lambda: entities(session)["flow"]["state_topic"] == moved, "it is moved"
                )
                after = entities(session)
                assert {one["unique_id"] for one in after.values()} == {
                    one["unique_id"] for one in before.values()
                }
                await session.until(
                    lambda: not [t for t in session.values if t.startswith("fieldgate/boiler")],
                    "nothing is left of its old name",
                )
                assert "Home Assistant knows all 2 devices" in ha(tmp_path, "plan")

        with running(tmp_path, EMPTY.format(**names)) as fieldgate:
            async with browsing(fieldgate.page_url, "homeassistant/#", "fieldgate/#") as session:
                await session.until(
                    lambda: "fieldgate/bridge/state" in session.values, "the gateway is there"
                )
                await session.until(
                    lambda: (
                        BOILER not in session.values
                        and not [t for t in session.values if t.startswith("fieldgate/kessel")]
                    ),
                    "nothing is left of the device",
                )
        assert "- fieldgate_bridge\n1 devices" in ha(tmp_path, "clean")
        assert ha(tmp_path, "plan") == "+ fieldgate_bridge\n"


async def test_its_birth_has_the_states_said_again(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, serial_line(tmp_path) as line:
        config = CONFIG.format(name="boiler", port=broker.port, line=line.path)
        with running(tmp_path, config) as fieldgate:
            async with browsing(fieldgate.page_url, "#") as session:
                _speak(line)
                await session.until(lambda: "fieldgate/boiler/flow" in session.values, "it speaks")
                said = len(session.messages)
                birth = {"topic": "homeassistant/status", "payload": "online"}
                await session.send(op="publish", id=1, **birth)
                wanted = {
                    "fieldgate/bridge/state",
                    "fieldgate/boiler/availability",
                    "fieldgate/boiler",
                    "fieldgate/boiler/flow",
                }
                await session.until(
                    lambda: wanted <= {one["topic"] for one in session.messages[said:]},
                    "all is said again",
                )


async def test_a_new_device_waits_for_a_yes_where_it_is_to_be_asked_for(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, serial_line(tmp_path) as line:
        config = CONFIG.format(name="boiler", port=broker.port, line=line.path)
        config = config.replace("{enabled: true}", "{enabled: true, announce: ask}")
        with running(tmp_path, config) as fieldgate:
            async with browsing(fieldgate.page_url, "#") as session:
                answers = "fieldgate/bridge/response/announce"

                async def ask(payload: str) -> dict[str, Any]:
                    seen = sum(one["topic"] == answers for one in session.messages)
                    topic = "fieldgate/bridge/request/announce"
                    await session.send(op="publish", id=1, topic=topic, payload=payload)
                    await session.until(
                        lambda: sum(one["topic"] == answers for one in session.messages) > seen,
                        "it answers",
                    )
                    found: dict[str, Any] = json.loads(
                        [one for one in session.messages if one["topic"] == answers][-1]["payload"]
                    )
                    return found

                await session.until(
                    lambda: "homeassistant/device/fieldgate_bridge/config" in session.values,
                    "the gateway itself is announced",
                )
                assert await ask('{"transaction":"a"}') == {
                    "transaction": "a",
                    "status": "ok",
                    "waiting": ["boiler"],
                }
                assert BOILER not in session.values
                for wrong in ("[", '{"device":"none"}', "x" * 20_000):
                    answer = await ask(wrong)
                    assert (answer["status"], bool(answer["error"])) == ("error", True)
                assert await ask('{"device":"boiler"}') == {"status": "ok", "waiting": []}
                await session.until(lambda: BOILER in session.values, "it is announced")


WRITABLE = """
web: {{listen: 127.0.0.1:0}}
home_assistant: {{enabled: true}}
devices:
  - name: boiler
    reader: {{type: serial, port: {line}, write_pause_s: 0}}
    decoder: {{type: key_value}}
    points:
      pump: {{type: boolean, confirm: false, write: "PUMP {{value}}\\n"}}
      level: {{unit: m, decimals: 1, min: 0, max: 50, confirm: false, write: "LEVEL {{value}}\\n"}}
      mode: {{options: {{0: auto, 1: manual}}, confirm: false, write: "MODE {{value}}\\n"}}
      rank: {{options: ["1", "2"], confirm: false, write: "RANK {{value}}\\n"}}
      reset: {{type: button, write: "RESET\\n"}}
      label: {{type: text, confirm: false, write: "LABEL {{value}}\\n"}}
      anything: {{confirm: false, write: "ANY {{value}}\\n"}}
      dim: {{type: number, min: 0, max: 200, confirm: false, write: "DIM {{value}}\\n"}}
      lamp:
        type: boolean
        confirm: false
        write: {{true: "LAMP ON\\n", false: "LAMP OFF\\n"}}
        home_assistant: {{platform: light, brightness: dim}}
"""


def clicked(entity: dict[str, Any]) -> list[tuple[str, str]]:
    """What Home Assistant publishes when somebody uses an entity: topics and payloads."""
    topic = entity["command_topic"]
    match entity["platform"]:
        case "switch":
            return [(topic, entity["payload_on"]), (topic, entity["payload_off"])]
        case "light":
            brightness = entity["brightness_command_topic"], str(entity["brightness_scale"])
            return [(topic, entity["payload_on"]), brightness, (topic, entity["payload_off"])]
        case "number":
            return [(topic, "21.5"), (topic, f"{entity['max']:g}")]
        case "select":
            return [(topic, option) for option in entity["options"]]
        case "button":
            return [(topic, entity["payload_press"])]
    assert entity["platform"] == "text"
    return [(topic, "1.50"), (topic, "true")]


async def test_the_hardware_hears_all_that_its_entities_can_be_used_for(tmp_path: Path) -> None:
    with (
        serial_line(tmp_path) as line,
        running(tmp_path, WRITABLE.format(line=line.path)) as fieldgate,
    ):
        async with browsing(fieldgate.page_url, "homeassistant/#", "fieldgate/#") as session:
            await session.until(lambda: len(entities(session)) == 9, "it is announced")
            line.say(b"partial\npump=0\n")
            await session.until(lambda: "fieldgate/boiler/pump" in session.values, "it speaks")
            heard: dict[str, list[str]] = {}
            for point, entity in entities(session).items():
                clicks = clicked(entity)
                for topic, payload in clicks:
                    await session.send(op="publish", id=1, topic=topic, payload=payload)
                text = ""
                while text.count("\n") < len(clicks):
                    chunk = await asyncio.to_thread(line.hear)
                    assert chunk, f"{point}: {text}"
                    text += chunk.decode()
                heard[point] = text.splitlines()
    assert heard == {
        "pump": ["PUMP 1", "PUMP 0"],
        "level": ["LEVEL 21.5", "LEVEL 50"],
        "mode": ["MODE 0", "MODE 1"],
        "rank": ["RANK 1", "RANK 2"],
        "reset": ["RESET"],
        "label": ["LABEL 1.50", "LABEL true"],
        "anything": ["ANY 1.5", "ANY 1"],
        "dim": ["DIM 21.5", "DIM 200"],
        "lamp": ["LAMP ON", "DIM 200", "LAMP OFF"],
    }


def _speak(line: SerialLine) -> None:
    line.say(b"partial\n")
    line.say(b"pump=0 flow=1.5\n")
