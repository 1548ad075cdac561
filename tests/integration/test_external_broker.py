"""An external mosquitto that is killed and started again under load."""

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.browser_session import browsing
from tests.program import Program, running
from tests.real_ends import DEADLINE_S, Mosquitto, mosquitto, program, until, wait_until
from tests.serial_line import SerialLine, serial_line

CONFIG = """
broker: {{engine: external, url: '{url}'}}
devices:
  - name: meter
    reader: {{type: serial, port: {port}}}
    decoder: {{type: json}}
"""


@contextlib.contextmanager
def gateway_on(broker: Mosquitto, folder: Path, port: Path) -> Iterator[Program]:
    with running(folder, CONFIG.format(url=broker.url, port=port)) as fieldgate:
        yield fieldgate


async def test_everything_comes_back_by_itself_after_the_broker_was_killed(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path) as broker,
        serial_line(tmp_path) as meter,
        gateway_on(broker, tmp_path, meter.path) as fieldgate,
    ):
        async with (
            browsing(fieldgate.page_url, "#", "$SYS/broker/version") as session,
            httpx.AsyncClient(base_url=fieldgate.page_url) as client,
        ):
            await session.until(
                lambda: "fieldgate/meter/availability" in session.values, "the meter is there"
            )
            await client.post(
                "/api/publish", json={"topic": "lost", "payload": "x", "qos": 1, "retain": True}
            )
            await session.until(lambda: "lost" in session.values, "a retained message is there")
            assert (await client.get("/health/ready")).status_code == 200

            load = asyncio.create_task(_load(meter))
            await session.until(lambda: "fieldgate/meter/energy" in session.values, "energy")
            broker.kill()
            await _until_ready(client, 503)
            refused = await client.post("/api/publish", json={"topic": "a", "payload": "qos 0"})
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "unavailable"
            for number in range(50):
                accepted = await client.post(
                    "/api/publish", json={"topic": "kept", "payload": str(number), "qos": 1}
                )
                assert accepted.status_code == 202
            load.cancel()
            last = await load
            meter.say(b'{"energy": %d}\n' % (last + 1))

            broker.start()
            await session.until(
                lambda: session.values.get("fieldgate/meter/energy") == str(last + 1),
                "the value that changed while the broker was away is published",
            )
            await _until_ready(client, 200)
            await session.until(lambda: session.values.get("kept") == "49", "what was accepted")
            kept = [int(m["payload"]) for m in session.messages if m["topic"] == "kept"]
            assert list(dict.fromkeys(kept)) == list(range(50))
            await session.until(
                lambda: "lost" not in session.values, "what the broker forgot is gone from the page"
            )
            assert [gap["reason"] for gap in session.gaps] == ["link"]

            async with browsing(fieldgate.page_url, "fieldgate/#") as newcomer:
                await newcomer.until(
                    lambda: (
                        newcomer.values.get("fieldgate/bridge/state") == '{"state":"online"}'
                        and "fieldgate/bridge/devices" in newcomer.values
                        and "fieldgate/meter" in newcomer.values
                    ),
                    "everything retained is there again",
                )


async def test_the_broker_says_offline_for_a_gateway_that_was_killed(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path) as broker,
        serial_line(tmp_path) as meter,
        gateway_on(broker, tmp_path, meter.path) as gateway,
    ):
        other = tmp_path / "web"
        other.mkdir()
        config = f"broker: {{engine: external, url: '{broker.url}'}}\n"
        with running(other, config, "--only", "web") as web:
            async with browsing(web.page_url, "fieldgate/#") as session:
                await session.until(
                    lambda: session.values.get("fieldgate/bridge/state") == '{"state":"online"}',
                    "the gateway is there",
                )
                gateway.kill()
                await session.until(
                    lambda: session.values.get("fieldgate/bridge/state") == '{"state":"offline"}',
                    "its will",
                )


def test_after_an_orderly_end_the_broker_says_offline_too(tmp_path: Path) -> None:
    """By farewell, not by will; the broker echoes it while the gateway still listens."""
    topics = ("fieldgate/bridge/state", "fieldgate/meter/availability")
    with (
        mosquitto(tmp_path) as broker,
        serial_line(tmp_path) as meter,
        gateway_on(broker, tmp_path, meter.path) as gateway,
    ):
        wait_until(
            lambda: {_first_message(broker, topic) for topic in topics} == {'{"state":"online"}'},
            "both are online",
        )
        assert gateway.stop() == 0
        assert {_first_message(broker, topic) for topic in topics} == {'{"state":"offline"}'}


def _first_message(broker: Mosquitto, topic: str) -> str:
    """What is retained, or else the next message."""
    arguments = ["-p", str(broker.port), "-t", topic, "-C", "1", "-W", str(int(DEADLINE_S))]
    subscriber = subprocess.run(
        [program("mosquitto_sub"), *arguments], capture_output=True, text=True, check=False
    )
    return subscriber.stdout.strip()


async def _load(meter: SerialLine) -> int:
    """Say a number every few milliseconds until this is cancelled; returns the last."""
    energy = 0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            energy += 1
            meter.say(b'{"energy": %d}\n' % energy)
            await asyncio.sleep(0.005)
    return energy


async def _until_ready(client: httpx.AsyncClient, status: int) -> None:
    seen: list[int] = []

    async def ask() -> None:
        while True:
            seen.append((await client.get("/health/ready")).status_code)
            await asyncio.sleep(0.05)

    asking = asyncio.create_task(ask())
    try:
        await until(lambda: status in seen[-1:], f"/health/ready answers {status}")
    finally:
        asking.cancel()
        await asyncio.wait([asking])
