"""The peer Flask-SocketIO: a Mosquitto, and beside it a page's server as it is often written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.bench.side import TEXT, TUNED, Side, Step, client_frame, handshake, process_in
from tests.program import ROOT
from tests.real_ends import free_port, is_listening, mosquitto, wait_until


@contextmanager
def flask_web(folder: Path) -> Iterator[Side]:
    """With gevent and simple-websocket: for many sessions half as fast again as with threads."""
    with mosquitto(folder, *TUNED) as broker, (folder / "flask.log").open("wb") as log:
        port = free_port()
        module = ["-m", "gevent.monkey", "--module", "tests.bench.flask_app"]
        command = [sys.executable, *module, str(broker.port), str(port)]
        with subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as process:
            try:
                wait_until(lambda: is_listening(port), "Flask-SocketIO listens")
                yield Side(
                    name="Flask-SocketIO",
                    mqtt_port=broker.port,
                    web_port=port,
                    processes=(psutil.Process(process.pid), process_in(folder)),
                    opening=_opening,
                )
            finally:
                process.kill()


def _opening(filters: Sequence[str], newcomer: bool) -> Sequence[Step]:
    """Engine.IO without polling, then a connection to the default namespace, then an event."""
    asked = "42" + json.dumps(["watch", list(filters), newcomer])
    return (
        *handshake("/socket.io/?EIO=4&transport=websocket"),
        (client_frame(TEXT, b"40"), b'40{"sid"'),
        (client_frame(TEXT, asked.encode()), b'["watching"'),
    )
