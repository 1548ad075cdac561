"""The brokers that are compared, each a process of its own that takes MQTT in by TCP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.program import running
from tests.real_ends import free_port, is_listening, mosquitto, wait_until

MOSQUITTO = ("set_tcp_nodelay true", "max_queued_messages 0", "max_inflight_messages 0")
"""Mosquitto at its best: no waiting for more to send, nothing dropped at 1,000 waiting, no pause
behind 20 messages that a subscriber has not acknowledged."""

AMQTT = """
listeners: {{default: {{type: tcp, bind: "127.0.0.1:{port}"}}}}
plugins: {{amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}}}
"""
"""Without the plug-ins that it loads by itself: no $SYS, no logging of packets."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker."""

    name: str
    port: int
    processes: tuple[psutil.Process, ...]

    @property
    def memory_bytes(self) -> int:
        """What is resident of it."""
        return sum(process.memory_info().rss for process in self.processes)


@contextmanager
def native(folder: Path) -> Iterator[Broker]:
    """The engine inside Fieldgate, as `fieldgate run --only broker` starts it."""
    with running(folder, "", "--only", "broker") as program:
        yield Broker("native", program.broker_port, (psutil.Process(program.pid),))


@contextmanager
def mosquitto_alone(folder: Path) -> Iterator[Broker]:
    """Debian's mosquitto."""
    with mosquitto(folder, *MOSQUITTO) as broker:
        yield Broker("Mosquitto", broker.port, (psutil.Process(broker.pid),))


@contextmanager
def amqtt_alone(folder: Path) -> Iterator[Broker]:
    """amqtt's own program."""
    port, config = free_port(), folder / "amqtt.yaml"
    config.write_text(AMQTT.format(port=port))
    command = [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(config)]
    with (
        (folder / "amqtt.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            wait_until(lambda: is_listening(port), "amqtt listens")
            yield Broker("amqtt", port, (psutil.Process(process.pid),))
        finally:
            process.kill()
