"""All clients with a login come back at once. `--clients 1000 -s` is the full measure."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import pytest

from broker.password import hash_password, quick_hash
from tests.mqtt_packets import connect
from tests.program import Program, running
from tests.real_ends import free_port, until

PROMISE_S = 30
RETRY_S = 1.0
"""How long a client waits after a refusal, or where nobody listens: what paho does first."""

PATIENCE_S = 10.0
"""How long it waits for a CONNACK: the least that clients in use wait for the network."""

Login = tuple[str, str]


class Swarm:
    """Clients that stay connected, whatever happens."""

    def __init__(self, port: int, logins: list[Login]) -> None:
        self._port = port
        self._logins = logins
        self._there: dict[int, asyncio.StreamWriter] = {}
        self.refused = 0
        self.impatient = 0

    @property
    def is_complete(self) -> bool:
        return len(self._there) == len(self._logins)

    def cut(self) -> None:
        """End all connections, as a switch without power does."""
        for writer in self._there.values():
            writer.transport.abort()
        self._there.clear()

    async def back(self, what: str, deadline_s: float = 5 * PROMISE_S) -> None:
        """Wait until all are there, and print how long that took."""
        began = time.monotonic()
        await until(lambda: not self.is_complete, "they have noticed")
        await until(lambda: self.is_complete, f"all are back: {what}", deadline_s)
        print(
            f"\n{len(self._logins)} clients, {what}: {time.monotonic() - began:.1f} s,"
            f" {self.refused} refused, {self.impatient} impatient"
        )

    async def stay(self, number: int) -> None:
        """One client's life."""
        hello = connect(f"client{number}", login=self._logins[number])
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(RETRY_S)
                continue
            try:
                writer.write(hello)
                async with asyncio.timeout(PATIENCE_S):
                    answer = await reader.readexactly(4)
                if answer[3] == 0:
                    self._there[number] = writer
                    await reader.read()
                else:
                    self.refused += 1
                    await asyncio.sleep(RETRY_S)
            except TimeoutError:
                self.impatient += 1
            except (OSError, EOFError):
                pass
            finally:
                self._there.pop(number, None)
                writer.transport.abort()


@asynccontextmanager
async def swarming(port: int, logins: list[Login]) -> AsyncIterator[Swarm]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    swarm = Swarm(port, logins)
    lives = [asyncio.create_task(swarm.stay(number)) for number in range(len(logins))]
    try:
        yield swarm
    finally:
        for life in lives:
            life.cancel()
        await asyncio.wait(lives)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def write_config(folder: Path, hashes: dict[str, str]) -> int:
    """The config of a broker with these users; gives its port."""
    port = free_port()
    users = "".join(f'  {name}: {{password: "{each}"}}\n' for name, each in hashes.items())
    rule = '{user: "*", allow: [publish, subscribe], topics: ["#"]}'
    (folder / "users.yaml").write_text(f"users:\n{users}rules: [{rule}]\n")
    (folder / "users.yaml").chmod(0o600)
    return port


def broker(folder: Path, port: int) -> AbstractContextManager[Program]:
    config = f"broker: {{listeners: ['mqtt://127.0.0.1:{port}']}}\n"
    return running(folder, config, "--only", "broker")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("accounts", ["one each, made", "five, chosen"])
async def test_after_a_power_cut_that_took_the_broker_too(
    accounts: str, clients: int, tmp_path: Path
) -> None:
    if accounts == "one each, made":
        logins = [(f"device{number}", "made") for number in range(clients)]
        hashes = dict.fromkeys((name for name, _ in logins), quick_hash("made"))
    else:
        logins = [(f"kind{number % 5}", "chosen") for number in range(clients)]
        hashes = dict.fromkeys((name for name, _ in logins), hash_password("chosen"))
    port = write_config(tmp_path, hashes)
    with broker(tmp_path, port) as first:
        async with swarming(port, logins) as swarm:
            await swarm.back(f"{accounts}, first")
            first.kill()
            second = Program(tmp_path / "fieldgate.yaml", "--only", "broker")
            try:
                await swarm.back(f"{accounts}, the broker was off, too")
            finally:
                second.stop()


@pytest.mark.timeout(1200)
async def test_after_a_power_cut_that_took_the_network_alone(clients: int, tmp_path: Path) -> None:
    """Each with an account of its own and a chosen password, which the broker remembers."""
    logins = [(f"device{number}", "chosen") for number in range(clients)]
    port = write_config(
        tmp_path, dict.fromkeys((name for name, _ in logins), hash_password("chosen"))
    )
    with broker(tmp_path, port):
        async with swarming(port, logins) as swarm:
            await swarm.back("one each, chosen, the broker was off, too", 1000)
            swarm.cut()
            await swarm.back("one each, chosen, the broker stayed")
