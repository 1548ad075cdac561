"""The readers role: every device's reader, and the publisher that they all feed."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from broker.link import Connect, Message
from gateway.byte_text import printable
from gateway.commands.crew import Crew
from gateway.commands.desk import Desk, Order, Writable
from gateway.config import DeviceConfig
from gateway.device import Device, iso_time
from gateway.errors import GatewayError
from gateway.framers import BadFrame
from gateway.handoff import DeviceMeasurement, Handoff, Item
from gateway.home_assistant.announcer import Announcer
from gateway.home_assistant.config import HomeAssistantConfig
from gateway.home_assistant.discovery import site_of
from gateway.latency import PublishLatency
from gateway.leftovers import Leftovers
from gateway.listening import Listening
from gateway.points.names import PointNames
from gateway.publisher import Publisher, will
from gateway.readers import Buses, Writing, build, describer, wall_clock_ms
from gateway.readers.modbus import ModbusConfig
from gateway.rivalry import Rivalry, Verdict
from gateway.supervisor import SupervisedReader

TICK_S = 1.0


class RivalError(GatewayError):
    """Another gateway publishes under our base topic."""


@asynccontextmanager
async def reading(
    devices: Sequence[DeviceConfig],
    base_topic: str,
    connect: Connect,
    broker: str,
    home_assistant: HomeAssistantConfig | None = None,
) -> AsyncIterator[asyncio.Task[None]]:
    """Read all devices and publish what they say, until the block is left.

    `broker` is its address, for people; `home_assistant` is told where that is enabled. The task
    that it yields ends only with a RivalError, when another gateway is at work.
    """
    rivalry = Rivalry(base_topic, instance=secrets.token_hex(8))
    readers: dict[str, SupervisedReader] = {}
    latency = PublishLatency()
    writers: dict[str, Writing] = {}
    loop = asyncio.get_running_loop()
    known = {config.name: _device(config, base_topic) for config in devices}

    def command(message: Message) -> None:
        desk.receive(message, loop.time())
        alarm.set()

    def written(order: Order, why_not: str) -> None:
        desk.written(order, why_not, loop.time())
        alarm.set()

    publisher = Publisher(
        base_topic,
        known,
        rivalry,
        counts=lambda name: _counts(readers[name]),
        besides=lambda: {"time": iso_time(_now_ms()), "read_to_publish": latency.summary()},
        command=command,
        heard=lambda name: desk.measured(name),
        described=lambda described: listening.described(described),
    )
    announcer = _announcer(home_assistant, base_topic, devices, publisher)
    leftovers = Leftovers(base_topic, known)
    listening = Listening(base_topic, publisher, leftovers, announcer, loop.time)
    crew = Crew(loop, writers, written)
    desk = Desk(
        base_topic,
        {
            config.name: Writable(
                known[config.name], config.points, config.command_timeout_s, _line(config)
            )
            for config in devices
        },
        publish=publisher.publish,
        carry_out=crew.carry_out,
        clock=wall_clock_ms,
    )
    waiting: list[Waiting] = [publisher, desk]
    if announcer is not None:
        waiting.append(announcer)
    alarm = Alarm(loop, waiting)
    handoff = Handoff(loop, lambda items: _deliver(items, publisher, alarm, latency))
    buses = Buses()
    for config in devices:
        reader = build(config.reader, config.decoder, framing=config.framing, buses=buses)
        readers[config.name] = SupervisedReader(config.name, reader, handoff)
        if isinstance(reader, Writing):
            writers[config.name] = reader
    async with connect(
        listening,
        role="readers",
        subscriptions=listening.subscriptions(),
        will=will(base_topic),
    ) as link:
        publisher.attach(link)
        ticking = asyncio.create_task(_tick(publisher, alarm, rivalry, base_topic, broker))
        try:
            for supervised in readers.values():
                supervised.start()
            yield ticking
        finally:
            for supervised in readers.values():
                supervised.request_stop()
            crew.close()
            desk.close()
            stops = (asyncio.to_thread(supervised.stop) for supervised in readers.values())
            await asyncio.gather(*stops)
            handoff.flush()
            handoff.close()
            alarm.cancel()
            ticking.cancel()
            await asyncio.wait([ticking])
            publisher.farewell()


class Waiting(Protocol):
    """Where something waits for its time."""

    @property
    def due_s(self) -> float:
        """When to call `release` next; infinite while nothing waits."""

    def release(self, now_s: float) -> None:
        """Do what is due."""


class Alarm:
    """Calls those with whom something waits, when it is due: one timer, for what is due first."""

    def __init__(self, loop: asyncio.AbstractEventLoop, waiting: Sequence[Waiting]) -> None:
        self._loop = loop
        self._waiting = waiting
        self._timer: asyncio.TimerHandle | None = None

    @property
    def now_s(self) -> float:
        """The clock of everything that waits."""
        return self._loop.time()

    def set(self) -> None:
        """Look when it has to go off; after whatever may have changed that."""
        due_s = min((each.due_s for each in self._waiting), default=math.inf)
        if self._timer is not None:
            if self._timer.when() <= due_s:  # early is harmless: it is set again then
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due_s, self._go_off) if due_s < math.inf else None

    def cancel(self) -> None:
        """It won't go off any more, whoever sets it."""
        self._waiting = ()
        if self._timer is not None:
            self._timer.cancel()

    def _go_off(self) -> None:
        self._timer = None
        for each in self._waiting:
            each.release(self.now_s)
        self.set()


async def _tick(
    publisher: Publisher, alarm: Alarm, rivalry: Rivalry, base_topic: str, broker: str
) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        publisher.tick(alarm.now_s)
        alarm.set()
        if rivalry.verdict is Verdict.RIVAL:
            raise RivalError(
                f"another gateway (instance {rivalry.rival}) publishes under {base_topic}/ on"
                f" {broker}: stop it, or give this one a base_topic of its own"
            )


def _deliver(
    items: Sequence[Item], publisher: Publisher, alarm: Alarm, latency: PublishLatency
) -> None:
    """One burst, in its order; neighbouring measurements are handed on together."""
    now_s = alarm.now_s
    measurements: list[DeviceMeasurement] = []
    for item in items:
        if isinstance(item, DeviceMeasurement):
            measurements.append(item)
            continue
        publisher.measured(measurements, now_s)
        measurements = []
        if item.online:
            publisher.came_online(item.device)
        else:
            publisher.went_offline(item.device, item.reason)
    publisher.measured(measurements, now_s)
    alarm.set()
    if measurements:
        latency.observe(measurements[0].measurement.time_ms, _now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _counts(reader: SupervisedReader) -> Mapping[str, object]:
    health = reader.health
    counts: dict[str, object] = {
        "opened": health.opened,
        "measurements": health.measurements,
        "rejected": health.rejected,
    }
    if health.bad_frames:
        counts["bad_frames"] = [_told(bad) for bad in health.bad_frames]
    return counts


def _told(bad: BadFrame) -> Mapping[str, str]:
    """A bad frame for people."""
    content = printable(bad.content)
    return {"time": iso_time(bad.time_ms), "reason": bad.reason, "why": bad.why, "content": content}


def _announcer(
    config: HomeAssistantConfig | None,
    base_topic: str,
    devices: Sequence[DeviceConfig],
    publisher: Publisher,
) -> Announcer | None:
    if config is None or not config.enabled:
        return None
    return Announcer(
        config,
        site_of(
            base_topic,
            config,
            {device.id: device.points for device in devices},
            frozenset(device.id for device in devices if device.only_listed),
        ),
        publish=publisher.publish,
        say_all=publisher.say_all,
    )


def _line(device: DeviceConfig) -> str:
    """What its commands are queued for: a bus is one line for all that are on it."""
    return device.reader.port if isinstance(device.reader, ModbusConfig) else device.name


def _device(device: DeviceConfig, base_topic: str) -> Device:
    return Device(
        f"{base_topic}/{device.name}",
        PointNames(device.points, only_listed=device.only_listed),
        description={
            "name": device.name,
            "id": device.id,
            **device.model_dump(include={"title", "manufacturer", "model"}, exclude_none=True),
            "reader": device.reader.type,
        },
        points=device.points,
        report=device.report,
        describe=describer(device.reader),
    )
