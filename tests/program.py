"""The whole program as a process of its own, as a user starts it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.real_ends import DEADLINE_S, wait_until

ROOT = Path(__file__).parent.parent


class Program:
    """`fieldgate run -c FILE`; what it prints is collected while it runs."""

    def __init__(
        self, config: Path, *arguments: str, environ: dict[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", "-c", str(config), *arguments],
            cwd=config.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    @property
    def output(self) -> str:
        return "".join(self._lines)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_started(self) -> None:
        wait_until(
            lambda: "mosquitto_sub" in self.output or not self.is_running, "the program greets"
        )
        assert self.is_running, self.output

    @property
    def page_url(self) -> str:
        """With the port that it really took; ends without a slash."""
        return self._found(r"page +(http://\S+?)/?\s")

    @property
    def broker_port(self) -> int:
        return int(self._found(r"broker +mqtt://127\.0\.0\.1:(\d+)"))

    def wait(self) -> int:
        """Wait for it to end by itself, and return its exit code."""
        try:
            code = self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # a failing test leaves nothing running either
            raise
        self._reading.join(DEADLINE_S)
        return code

    def stop(self) -> int:
        """End it as Ctrl-C does, and return its exit code."""
        if self.is_running:
            self._process.send_signal(signal.SIGINT)
        return self.wait()

    def kill(self) -> None:
        """End it as a power cut does."""
        self._process.kill()
        self.wait()

    def _found(self, pattern: str) -> str:
        match = re.search(pattern, self.output)
        assert match, self.output
        return match[1]

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.append(line)


@contextlib.contextmanager
def running(
    folder: Path, config: str = "", *arguments: str, environ: dict[str, str] | None = None
) -> Iterator[Program]:
    """The program with a config file of this text, on free ports unless that names some."""
    file = folder / "fieldgate.yaml"
    if "web:" not in config:
        config += "\nweb: {listen: 127.0.0.1:0}\n"
    if "broker:" not in config:
        config += "broker: {listeners: [mqtt://127.0.0.1:0]}\n"
    file.write_text(config)
    program = Program(file, *arguments, environ=environ)
    try:
        program.wait_until_started()
        yield program
    finally:
        program.stop()
