"""A click reaches the hardware and comes back confirmed: over MQTT and from a browser."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser_session import browsing
from tests.modbus_device import device, tcp_line
from tests.program import Program, running
from tests.real_ends import DEADLINE_S, mosquitto, program
from tests.serial_line import SerialLine, serial_line

BOILER = """
devices:
  - name: boiler
    reader: {{type: serial, port: {port}}}
    decoder: {{type: key_value}}
    command_timeout_s: 0.5
    points:
      pump: {{type: boolean, write: "PUMP {{value}}\\n"}}
      level: {{unit: m, min: 0, max: 5, write: "LEVEL {{value}}\\n"}}
"""


@contextmanager
def boiler(line: SerialLine) -> Iterator[list[bytes]]:
    """Does what it is told about its pump, and says nothing about its level."""
    heard: list[bytes] = []
    is_over = threading.Event()

    def live() -> None:
        pending = b""
        while not is_over.is_set():
            pending += line.hear(0.05)
            *commands, pending = pending.split(b"\n")
            for command in commands:
                heard.append(command)
                if command.startswith(b"PUMP "):
                    line.say(b"pump=" + command[5:] + b"\n")

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield heard
    finally:
        is_over.set()
        thread.join(DEADLINE_S)


def publish(port: int, topic: str, payload: str, *more: str) -> None:
    command = [program("mosquitto_pub"), "-p", str(port), "-t", topic, "-m", payload, "-q", "1"]
    subprocess.run([*command, *more], check=True, timeout=DEADLINE_S)


def answered(port: int) -> bytes:
    """What comes on the response topic of a request over MQTT 5."""
    command = [program("mosquitto_rr"), "-V", "5", "-p", str(port), "-W", "10", "-m", "true"]
    command += ["-t", "fieldgate/boiler/set/pump", "-e", "clients/7/answer"]
    asked = subprocess.run(command, check=True, timeout=DEADLINE_S, capture_output=True)
    return asked.stdout.splitlines()[0]


def three_receipts(port: int) -> subprocess.Popen[str]:
    """Hears three, and ends."""
    command = [program("mosquitto_sub"), "-p", str(port), "-q", "1", "-C", "3", "-W", "60"]
    command += ["-t", "fieldgate/boiler/result"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def receipts(session: Any) -> list[dict[str, Any]]:
    return [
        json.loads(one["payload"])
        for one in session.messages
        if one["topic"] == "fieldgate/boiler/result"
    ]


async def chain(session: Any, number: int) -> list[tuple[str, str]]:
    await session.until(lambda: len(receipts(session)) >= number, f"{number} receipts")
    return [(one["point"], one["stage"]) for one in receipts(session)]


@pytest.mark.parametrize("external", [False, True], ids=["broker inside", "mosquitto"])
async def test_a_command_reaches_the_hardware_and_comes_back_confirmed(
    tmp_path: Path, external: bool
) -> None:
    with serial_line(tmp_path) as line:
        config = BOILER.format(port=line.path)
        if not external:
            with running(tmp_path, config) as fieldgate, boiler(line) as heard:
                await _commanded(fieldgate, fieldgate.broker_port, line, heard)
            return
        with mosquitto(tmp_path) as broker:
            config += f"broker: {{engine: external, url: mqtt://127.0.0.1:{broker.port}}}\n"
            with running(tmp_path, config) as fieldgate, boiler(line) as heard:
                await _commanded(fieldgate, broker.port, line, heard)


async def _commanded(fieldgate: Program, port: int, line: SerialLine, heard: list[bytes]) -> None:
    async with browsing(fieldgate.page_url, "fieldgate/#") as session:
        line.say(b"pump=0\n")
        line.say(b"pump=0 level=1.5\n")
        await session.until(lambda: "fieldgate/boiler/level" in session.values, "it is read")

        publish(port, "fieldgate/boiler/set/pump", "true")
        assert await chain(session, 3) == [
            ("pump", "accepted"),
            ("pump", "written"),
            ("pump", "confirmed"),
        ]
        assert session.values["fieldgate/boiler/pump"] == "true"

        publish(port, "fieldgate/boiler/set", '{"level":2.5,"transaction":"t1"}')
        assert (await chain(session, 6))[3:] == [
            ("level", "accepted"),
            ("level", "written"),
            ("level", "timeout"),
        ]
        assert session.values["fieldgate/boiler/level"] == "1.5"

        publish(port, "fieldgate/boiler/set/level", "9")
        assert (await chain(session, 7))[6:] == [("level", "refused")]
        assert heard == [b"PUMP 1", b"LEVEL 2.5"]

        click = {"topic": "fieldgate/boiler/set/pump", "payload": "false"}
        await session.send(op="publish", id=5, **click)
        await session.until(lambda: heard[2:] == [b"PUMP 0"], "the click reaches the hardware")
        assert (await chain(session, 10))[9:] == [("pump", "confirmed")]

        answer = await asyncio.to_thread(answered, port)
        assert json.loads(answer)["stage"] == "accepted"

        before = sum(one["topic"] == "fieldgate/boiler" for one in session.messages)
        publish(port, "fieldgate/boiler/get", "")
        await session.until(
            lambda: sum(one["topic"] == "fieldgate/boiler" for one in session.messages) > before,
            "the state is said again",
        )


async def test_a_retained_command_is_not_carried_out_at_the_next_start(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, serial_line(tmp_path) as line:
        publish(broker.port, "fieldgate/boiler/set/pump", "true", "-r")
        config = BOILER.format(port=line.path)
        config += f"broker: {{engine: external, url: mqtt://127.0.0.1:{broker.port}}}\n"
        with running(tmp_path, config) as fieldgate, boiler(line) as heard:
            async with browsing(fieldgate.page_url, "fieldgate/#") as session:
                line.say(b"pump=0\n")
                line.say(b"pump=0\n")
                await session.until(lambda: "fieldgate/boiler/pump" in session.values, "it is read")
                publish(broker.port, "fieldgate/boiler/set/pump", "0")
                await chain(session, 3)
                assert heard == [b"PUMP 0"]


async def test_a_modbus_register_is_written_and_read_back(tmp_path: Path) -> None:
    with tcp_line(device(1, {0: [200]})) as line:
        config = f"""
devices:
  - name: boiler
    reader:
      type: modbus
      port: {line.port}
      every_s: 0.1
      registers: {{setpoint: {{address: 0, type: int16}}}}
    points: {{setpoint: {{unit: "°C", scale: 0.1, decimals: 1, write: true}}}}
"""
        with running(tmp_path, config) as fieldgate:
            async with browsing(fieldgate.page_url, "fieldgate/#") as session:
                topic = "fieldgate/boiler/setpoint"
                await session.until(lambda: session.values.get(topic) == "20.0", "it is read")
                publish(fieldgate.broker_port, "fieldgate/boiler/set/setpoint", "21.5")
                assert await chain(session, 3) == [
                    ("setpoint", "accepted"),
                    ("setpoint", "written"),
                    ("setpoint", "confirmed"),
                ]
                await session.until(lambda: session.values[topic] == "21.5", "it is as wished")


async def test_a_command_that_the_end_overtakes_has_its_last_word(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, serial_line(tmp_path) as line:
        config = BOILER.format(port=line.path).replace("timeout_s: 0.5", "timeout_s: 600")
        config += f"broker: {{engine: external, url: mqtt://127.0.0.1:{broker.port}}}\n"
        with three_receipts(broker.port) as listener:
            with running(tmp_path, config) as fieldgate, boiler(line) as heard:
                async with browsing(fieldgate.page_url, "fieldgate/#") as session:
                    line.say(b"pump=0\n")
                    line.say(b"pump=0 level=1.5\n")
                    await session.until(lambda: "fieldgate/boiler/level" in session.values, "read")
                    publish(broker.port, "fieldgate/boiler/set/level", "2")
                    assert (await chain(session, 2))[1:] == [("level", "written")]
                    await session.until(lambda: heard == [b"LEVEL 2"], "the hardware hears it")
            said, _ = listener.communicate(timeout=DEADLINE_S)
        last = json.loads(said.splitlines()[-1])
        assert (last["stage"], last["value"]) == ("timeout", 2)
        assert last["error"] == "the gateway stopped before the hardware said it back"
