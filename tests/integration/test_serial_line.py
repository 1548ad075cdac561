"""A serial device on a pty: seen in a browser, unplugged, plugged in again."""

import asyncio
import contextlib
from pathlib import Path

from tests.browser_session import browsing
from tests.program import running
from tests.serial_line import SerialLine, serial_line

CONFIG = """
devices:
  - name: boiler
    reader: {{type: serial, port: {boiler}}}
    decoder: {{type: key_value}}
    points: {{temperature: {{unit: "°C"}}}}
  - name: meter
    reader: {{type: serial, port: {meter}}}
    decoder: {{type: json}}
"""


async def test_lines_arrive_and_a_replugged_port_heals_while_another_misses_nothing(
    tmp_path: Path,
) -> None:
    with (
        serial_line(tmp_path, "ttyBoiler") as boiler,
        serial_line(tmp_path, "ttyMeter") as meter,
        running(tmp_path, CONFIG.format(boiler=boiler.path, meter=meter.path)) as fieldgate,
    ):
        async with browsing(fieldgate.page_url, "fieldgate/#") as session:

            async def until_it_is(topic: str, payload: str) -> None:
                await session.until(
                    lambda: session.values.get(topic) == payload, f"{topic} is {payload}"
                )

            await until_it_is("fieldgate/boiler/availability", '{"state":"online"}')
            await until_it_is("fieldgate/meter/availability", '{"state":"online"}')
            meter.say(b"partial\n")  # what a line says first may have begun before we listened
            said = asyncio.create_task(_count(meter))

            boiler.say(b"partial\n")
            boiler.say(b"temperature=21.5 pump=on\n")
            await until_it_is("fieldgate/boiler/temperature", "21.5")
            await until_it_is("fieldgate/boiler/pump", "on")

            boiler.unplug()
            await until_it_is("fieldgate/boiler/availability", '{"state":"offline"}')
            assert session.values["fieldgate/meter/availability"] == '{"state":"online"}'

            boiler.plug()
            await until_it_is("fieldgate/boiler/availability", '{"state":"online"}')
            boiler.say(b"partial\n")
            boiler.say(b"temperature=22.5\n")
            await until_it_is("fieldgate/boiler/temperature", "22.5")

            said.cancel()
            last = await said
            await until_it_is("fieldgate/meter/energy", str(last))
            energies = [
                int(message["payload"])
                for message in session.messages
                if message["topic"] == "fieldgate/meter/energy"
            ]
            assert energies == list(range(last + 1))
        assert fieldgate.stop() == 0


async def _count(meter: SerialLine) -> int:
    """Let the meter say every number from 0 on, until this is cancelled; returns the last."""
    energy = 0
    meter.say(b'{"energy": 0}\n')
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(0.02)
            meter.say(b'{"energy": %d}\n' % (energy + 1))
            energy += 1
    return energy
