"""A serial device on a pty: seen in a browser, unplugged, plugged in again."""

import asyncio
import contextlib
import os
import tty
from collections.abc import Iterator
from pathlib import Path

from tests.browser_session import browsing
from tests.program import running

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


class SerialDevice:
    """Hardware on a pty; the link in the file system stays the same when it is plugged anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hardware = -1

    def plug(self) -> None:
        self._hardware, line = os.openpty()
        tty.setraw(line)
        self.path.symlink_to(os.ttyname(line))
        os.close(line)

    def unplug(self) -> None:
        if self._hardware >= 0:
            self.path.unlink()
            os.close(self._hardware)
            self._hardware = -1

    def say(self, line: str) -> None:
        os.write(self._hardware, line.encode() + b"\r\n")


@contextlib.contextmanager
def plugged(path: Path) -> Iterator[SerialDevice]:
    device = SerialDevice(path)
    device.plug()
    try:
        yield device
    finally:
        device.unplug()


async def test_lines_arrive_and_a_replugged_port_heals_while_another_misses_nothing(
    tmp_path: Path,
) -> None:
    with (
        plugged(tmp_path / "ttyBoiler") as boiler,
        plugged(tmp_path / "ttyMeter") as meter,
        running(tmp_path, CONFIG.format(boiler=boiler.path, meter=meter.path)) as fieldgate,
    ):
        async with browsing(fieldgate.page_url, "fieldgate/#") as session:

            async def until_it_is(topic: str, payload: str) -> None:
                await session.until(
                    lambda: session.values.get(topic) == payload, f"{topic} is {payload}"
                )

            await until_it_is("fieldgate/boiler/availability", '{"state":"online"}')
            await until_it_is("fieldgate/meter/availability", '{"state":"online"}')
            meter.say('{"energy": -1}')  # the first line may be a partial one, and is dropped
            said = asyncio.create_task(_count(meter))

            boiler.say("partial")
            boiler.say("temperature=21.5 pump=on")
            await until_it_is("fieldgate/boiler/temperature", "21.5")
            await until_it_is("fieldgate/boiler/pump", "on")

            boiler.unplug()
            await until_it_is("fieldgate/boiler/availability", '{"state":"offline"}')
            assert session.values["fieldgate/meter/availability"] == '{"state":"online"}'

            boiler.plug()
            await until_it_is("fieldgate/boiler/availability", '{"state":"online"}')
            boiler.say("partial")
            boiler.say("temperature=22.5")
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


async def _count(meter: SerialDevice) -> int:
    """Let the meter say every number from 0 on, until this is cancelled; returns the last."""
    energy = 0
    meter.say('{"energy": 0}')
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(0.02)
            meter.say(f'{{"energy": {energy + 1}}}')
            energy += 1
    return energy
