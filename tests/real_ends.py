"""Real ends for tests: free ports, Debian's mosquitto, waiting with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

DEADLINE_S = 20.0
"""How long a test waits for what is promised within a few seconds at most."""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """The path of a Debian program, or the test is skipped with the line that installs it."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed: see .ci/run for the line that installs it")
    return path


async def until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait on the event loop until a condition holds, or fail saying what did not happen."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.01)


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """The same, where no event loop runs."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        time.sleep(0.01)


def is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


class Mosquitto:
    """Debian's mosquitto on a port of its own; `kill` and `start` as often as a test likes."""

    def __init__(self, folder: Path, *extra_lines: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            "\n".join([f"listener {self.port} 127.0.0.1", "allow_anonymous true", *extra_lines])
            + "\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("mosquitto"), "-c", str(self._config)], stdout=log, stderr=log
            )
        wait_until(lambda: is_listening(self.port), "mosquitto listens")

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def mosquitto(folder: Path, *extra_lines: str) -> Iterator[Mosquitto]:
    """A running mosquitto, ended at the end."""
    broker = Mosquitto(folder, *extra_lines)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
