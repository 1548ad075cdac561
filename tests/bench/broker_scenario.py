"""What is measured of the brokers: MQTT 3.1.1 by TCP, payloads of 64 bytes."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Coroutine
from functools import partial

from tests.bench.broker_client import (
    Client,
    Publisher,
    Subscriber,
    connected,
    subscribed,
    subscribing,
)
from tests.bench.broker_load import Flow, Traffic, flat_out
from tests.bench.broker_side import Broker, amqtt_alone, mosquitto_alone, native
from tests.bench.load import CpuClock, at_rate
from tests.bench.scenario import Figures, Scenario, Work
from tests.bench.stamp import PAYLOAD_BYTES, payload
from tests.mqtt_packets import packet, publish, text

RATE = 1_000
"""Messages a second, where it is latency that is measured."""

_SETTLE_S = 0.3
_FILTERS_AT_ONCE = 100
_FILTERS_EACH = 1_000
_RETAINED_AT_ONCE = 500


async def one_to_one(broker: Broker, work: Work) -> Figures:
    return await _flat_out(broker, work, publishers=1, subscribers=1)


async def one_to_many(broker: Broker, work: Work) -> Figures:
    return await _flat_out(broker, work, publishers=1, subscribers=work.sessions)


async def many_to_one(broker: Broker, work: Work) -> Figures:
    return await _flat_out(broker, work, publishers=work.sessions, subscribers=1)


async def _flat_out(broker: Broker, work: Work, *, publishers: int, subscribers: int) -> Figures:
    topics = [f"bench/flat/{number:03}" for number in range(publishers)]
    wanted = topics[0] if publishers == 1 else "bench/flat/+"
    async with (
        subscribed(broker, [wanted] * subscribers) as receiving,
        connected(broker, [Publisher(topic) for topic in topics]) as sending,
    ):
        flow = await flat_out(broker, [Traffic(sending, receiving)], work.seconds)
        return _figures(broker, flow)


async def acknowledged(broker: Broker, work: Work, *, qos: int, pairs: int) -> Figures:
    """Each publisher has a topic and a subscriber of its own."""
    topics = [f"bench/pair/{number:03}" for number in range(pairs)]
    async with (
        subscribed(broker, topics, qos) as receiving,
        connected(broker, [Publisher(topic, qos) for topic in topics]) as sending,
    ):
        traffics = [Traffic([p], [s]) for p, s in zip(sending, receiving, strict=True)]
        return _figures(broker, await flat_out(broker, traffics, work.seconds))


def _figures(broker: Broker, flow: Flow) -> Figures:
    return {
        "deliveries/s": flow.deliveries / flow.seconds,
        "CPU of broker, µs a message": flow.cpu_us_per_message,
        "CPU of broker, %": 100 * flow.cpu.servers_s / flow.seconds,
        "CPU of generator, %": 100 * flow.cpu.own_s / flow.seconds,
        "memory of broker, MB": broker.memory_bytes / 1e6,
        "lost": flow.lost,
    }


async def steady(broker: Broker, work: Work) -> Figures:
    topic = "bench/steady"
    head = publish(topic, bytes(PAYLOAD_BYTES))[:-PAYLOAD_BYTES]
    async with subscribed(broker, [topic]) as receiving, connected(broker, [Client()]) as (client,):

        async def send(count: int) -> None:
            client.write((head + payload(time.monotonic_ns())) * count)

        delay = await at_rate(broker, send, receiving, RATE, work.seconds)
        return {
            "p50, ms": delay.p50_ms,
            "p99, ms": delay.p99_ms,
            "CPU of broker, µs a message": 1e6 * delay.cpu.servers_s / delay.messages,
            "CPU of generator, %": 100 * delay.cpu.own_s / work.seconds,
            "memory of broker, MB": broker.memory_bytes / 1e6,
            "lost": delay.lost,
        }


async def idle(broker: Broker, work: Work) -> Figures:
    """Each client subscribes to a topic of its own, as a device does for its commands."""
    topics = [f"bench/idle/{number:04}" for number in range(work.clients)]
    before, clock, began = broker.memory_bytes, CpuClock(broker), time.monotonic()
    async with subscribed(broker, topics):
        spent_s, cpu = time.monotonic() - began, clock.read()
        await asyncio.sleep(_SETTLE_S)
        grown = broker.memory_bytes - before
        clock, began = CpuClock(broker), time.monotonic()
        await asyncio.sleep(work.seconds)
        still = clock.read().servers_s / (time.monotonic() - began)
    return {
        "memory more than without, MB": grown / 1e6,
        "connected and subscribed after, ms": 1e3 * spent_s,
        "CPU of broker, µs a client": 1e6 * cpu.servers_s / work.clients,
        "CPU of broker when all are idle, %": 100 * still,
    }


async def retained(broker: Broker, work: Work) -> Figures:
    names = [f"bench/kept/{n // 100:03}/{n % 100:02}" for n in range(work.topics)]
    content = payload(time.monotonic_ns())
    async with (
        subscribed(broker, ["bench/kept/#"]) as (watcher,),
        connected(broker, [Client()]) as (keeper,),
    ):
        for start in range(0, len(names), _RETAINED_AT_ONCE):
            part = names[start : start + _RETAINED_AT_ONCE]
            keeper.write(b"".join([publish(name, content, retain=True) for name in part]))
            await watcher.reached(start + len(part))
    times_ms: list[float] = []
    lost, cpu_s = 0, 0.0
    for _ in range(work.newcomers):
        clock, began_ns = CpuClock(broker), time.monotonic_ns()
        async with connected(broker, [Subscriber()]) as (newcomer,):
            await subscribing(newcomer, "#")
            ended_ns = await newcomer.reached(work.topics)
            cpu_s += clock.read().servers_s
            times_ms.append((ended_ns - began_ns) / 1e6)
            await asyncio.sleep(_SETTLE_S)  # what comes too often would come now
            lost += work.topics - newcomer.count
    return {
        "complete after, ms": statistics.median(times_ms),
        "worst, ms": max(times_ms),
        "CPU of broker, µs a message": 1e6 * cpu_s / (work.newcomers * work.topics),
        "memory of broker, MB": broker.memory_bytes / 1e6,
        "lost": lost,
    }


async def filters(broker: Broker, work: Work) -> Figures:
    """What a message costs beside filters that it does not match, and without them."""
    many = [f"bench/filter/{number:05}/+" for number in range(work.filters)]
    groups = [many[at : at + _FILTERS_EACH] for at in range(0, len(many), _FILTERS_EACH)]
    before = broker.memory_bytes
    alone = await _one_pair(broker, work, "bench/pair", "bench/pair")
    async with connected(broker, [Client() for _ in groups]) as clients:
        began = time.monotonic()
        await asyncio.gather(*map(_subscribe_all, clients, groups))
        spent_s, grown = time.monotonic() - began, broker.memory_bytes - before
        beside = await _one_pair(broker, work, "bench/pair", "bench/pair")
        new = await _one_pair(broker, work, "bench/%09d/value", "bench/+/value")
    return {
        "deliveries/s": beside.deliveries / beside.seconds,
        "CPU of broker, µs a message": beside.cpu_us_per_message,
        "CPU of broker without them, µs a message": alone.cpu_us_per_message,
        "each message to a new topic: deliveries/s": new.deliveries / new.seconds,
        "each message to a new topic: CPU of broker, µs a message": new.cpu_us_per_message,
        "subscribed after, ms": 1e3 * spent_s,
        "memory for them, MB": grown / 1e6,
        "lost": alone.lost + beside.lost + new.lost,
    }


async def _one_pair(broker: Broker, work: Work, topic: str, topic_filter: str) -> Flow:
    async with (
        subscribed(broker, [topic_filter]) as receiving,
        connected(broker, [Publisher(topic)]) as sending,
    ):
        return await flat_out(broker, [Traffic(sending, receiving)], work.seconds)


async def _subscribe_all(client: Client, many: list[str]) -> None:
    """Subscribe to all of them, so many in a packet."""
    for start in range(0, len(many), _FILTERS_AT_ONCE):
        part = many[start : start + _FILTERS_AT_ONCE]
        packet_id = (start + 1).to_bytes(2, "big")
        client.write(packet(0x82, packet_id + b"".join([text(one) + b"\x00" for one in part])))
        await client.answered(packet(0x90, packet_id + bytes(len(part))))


_BROKERS = (native, mosquitto_alone, amqtt_alone)


def _row(
    name: str, title: str, measure: Callable[[Broker, Work], Coroutine[None, None, Figures]]
) -> Scenario[Broker]:
    return Scenario(name, title, measure, _BROKERS)


SCENARIOS = (
    _row("qos0-one", "QoS 0, 1 → 1", one_to_one),
    _row("qos0-many", "QoS 0, 1 → 100", one_to_many),
    _row("qos0-in", "QoS 0, 100 → 1 by a wildcard", many_to_one),
    _row("qos1-one", "QoS 1, 1 → 1", partial(acknowledged, qos=1, pairs=1)),
    _row("qos1-ten", "QoS 1, 10 → 10", partial(acknowledged, qos=1, pairs=10)),
    _row("qos2-one", "QoS 2, 1 → 1", partial(acknowledged, qos=2, pairs=1)),
    _row("qos2-ten", "QoS 2, 10 → 10", partial(acknowledged, qos=2, pairs=10)),
    _row("latency", "QoS 0, 1 → 1, 1,000 messages/s", steady),
    _row("clients", "1,000 idle clients", idle),
    _row("filters", "QoS 0, 1 → 1 beside 10,000 other filters", filters),
    _row("retained", "`#` over 10,000 retained topics", retained),
)
