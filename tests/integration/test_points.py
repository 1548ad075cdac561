"""What the config says of points, from a pty to a browser."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.browser_session import BrowserSession, browsing
from tests.program import running
from tests.serial_line import SerialLine, serial_line

CONFIG = """
devices:
  - name: boiler
    reader: {{type: serial, port: {port}}}
    decoder: {{type: key_value}}
    report: {{stale_after_s: never}}
    points:
      t: {{unit: "°C", scale: 0.1, decimals: 1, invalid: [32767], report: {{dead_band: 0.5}}}}
      speed: {{report: {{max_per_s: 2}}}}
      mode: {{options: {{0: auto, 1: manual}}}}
      button: {{type: event}}
      lamp: {{report: {{stale_after_s: 1}}}}
"""


def payloads(session: BrowserSession, point: str) -> list[str]:
    topic = f"fieldgate/boiler/{point}"
    return [one["payload"] for one in session.messages if one["topic"] == topic]


def state(session: BrowserSession) -> dict[str, Any]:
    found = json.loads(session.values.get("fieldgate/boiler", "{}"))
    assert isinstance(found, dict)
    return found


async def say(line: SerialLine, *lines: str, pause_s: float = 0.02) -> None:
    for one in lines:
        line.say(f"{one}\n".encode())
        await asyncio.sleep(pause_s)


async def test_values_are_scaled_filtered_and_paced_and_a_press_is_an_event(tmp_path: Path) -> None:
    with (
        serial_line(tmp_path) as line,
        running(tmp_path, CONFIG.format(port=line.path)) as fieldgate,
    ):
        async with browsing(fieldgate.page_url, "fieldgate/boiler/#") as session:
            await session.until(
                lambda: "online" in session.values.get("fieldgate/boiler/availability", ""),
                "the boiler is there",
            )
            await say(line, "partial", "t=215 mode=1 lamp=on", "t=219", "t=221", "t=32767", "t=222")
            await session.until(lambda: state(session).get("t") == 22.2, "the temperature arrives")
            assert payloads(session, "t") == ["21.5", "22.1", "22.2"]
            assert payloads(session, "mode") == ["manual"]

            await say(line, *(f"speed={number}" for number in range(100)))
            await session.until(lambda: state(session).get("speed") == 99, "the newest speed")
            speeds = payloads(session, "speed")
            assert speeds[0] == "0"
            assert speeds[-1] == "99"
            assert 4 <= len(speeds) <= 20

            await say(line, "button=1", "button=0", "button=press")
            await session.until(lambda: len(payloads(session, "button")) == 2, "two presses")
            presses = [json.loads(payload) for payload in payloads(session, "button")]
            assert [press["event_type"] for press in presses] == ["press", "press"]
            assert "button" not in state(session)
            async with browsing(fieldgate.page_url, "fieldgate/boiler/#") as newcomer:
                await newcomer.until(lambda: state(newcomer).get("speed") == 99, "the last values")
                assert "fieldgate/boiler/button" not in newcomer.values

            await session.until(
                lambda: state(session).get("stale") == ["lamp"], "the lamp is stale"
            )
            await say(line, "lamp=on")
            await session.until(lambda: "stale" not in state(session), "it is heard again")
        assert fieldgate.stop() == 0


BINARY = """
devices:
  - name: meter
    reader: {{type: serial, port: {port}}}
    framing:
      {{type: start_end, start: "hex:02", end: "hex:03", escape: "hex:10", checksum: {{name: xor}}}}
    decoder: {{type: struct, format: hB, names: [temperature, state]}}
    points: {{temperature: {{unit: "°C", scale: 0.1}}}}
"""


async def test_binary_frames_become_points_and_bad_ones_are_seen_in_the_health(
    tmp_path: Path,
) -> None:
    with (
        serial_line(tmp_path) as line,
        running(tmp_path, BINARY.format(port=line.path)) as fieldgate,
    ):
        async with browsing(fieldgate.page_url, "fieldgate/#") as session:
            await session.until(
                lambda: "online" in session.values.get("fieldgate/meter/availability", ""),
                "the meter is there",
            )
            line.say(b"\x02\x00\xd7\x10\x02\xd5\x03\x02\x00\xd7\x01\x00\x03")
            await session.until(
                lambda: session.values.get("fieldgate/meter/temperature") == "21.5",
                "the temperature arrives",
            )
            assert session.values["fieldgate/meter/state"] == "2"
            line.unplug()
            await session.until(
                lambda: "bad_frames" in session.values.get("fieldgate/bridge/health", ""),
                "the bad frame is told",
            )
            health = json.loads(session.values["fieldgate/bridge/health"])["devices"]["meter"]
            assert health["rejected"] == {"checksum": 1}
            (bad,) = health["bad_frames"]
            assert (bad["content"], bad["why"]) == ("02 00 d7 01 00 03", "doesn't fit its checksum")
