"""What docs/api.md shows, tried as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.program import ROOT, Program, running
from tests.real_ends import DEADLINE_S, program, wait_until

TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
THERE = "http://127.0.0.1:8088"


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


LINES = [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def fieldgate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running(tmp_path_factory.mktemp("docs")) as fieldgate:
        yield fieldgate


def until_it_prints(command: list[str] | str, folder: Path, wanted: bytes) -> bytes:
    """What a command printed when it printed this, which may go on for ever."""
    output = folder / "output"
    with output.open("wb") as file:
        is_line = isinstance(command, str)
        process = subprocess.Popen(command, shell=is_line, stdout=file, stderr=file)
        try:
            wait_until(lambda: wanted in output.read_bytes(), f"{command} prints {wanted!r}")
        finally:
            process.terminate()
            process.wait(DEADLINE_S)
    return output.read_bytes()


@pytest.mark.parametrize("line", LINES)
def test_each_line_of_shell_does_something(line: str, fieldgate: Program, tmp_path: Path) -> None:
    program("curl")
    assert THERE in line
    wanted = {
        "/api/tail": b"fieldgate/host/",
        "/api/events": b'data: {"topic":"fieldgate/',
        "/api/topics": b'"topic":"fieldgate/host/',
        "/api/devices": b'"name":"host"',
        "/api/history?": b'"mean":[',
        "/api/history/export?": b"time,seconds,min,mean,max,last,count",
        "/api/publish": b'{"status":"accepted"}',
        "/api/sessions": b'"count":',
        "/health/ready": b'{"status":"ready"}',
        "/metrics": b"\nfieldgate_sessions{",
    }
    (expected,) = (value for path, value in wanted.items() if f"{THERE}{path}" in line)
    until_it_prints(f"exec {line.replace(THERE, fieldgate.page_url)}", tmp_path, expected)


def test_the_program_of_the_websocket_prints_values(fieldgate: Program, tmp_path: Path) -> None:
    (source,) = blocks("python")
    assert "ws://127.0.0.1:8088" in source
    own = source.replace("ws://127.0.0.1:8088", fieldgate.page_url.replace("http", "ws"))
    command = [sys.executable, "-u", "-c", own]
    until_it_prints(command, tmp_path, b"fieldgate/host/uptime")


def test_every_metric_that_is_named_is_there(fieldgate: Program, tmp_path: Path) -> None:
    text = until_it_prints(
        f"exec {program('curl')} -s {fieldgate.page_url}/metrics", tmp_path, b"python_info"
    ).decode()
    named = set(re.findall(r"`(fieldgate_\w+)[`{]", TEXT))
    assert len(named) > 10
    assert {name for name in named if f"\n{name}" not in text} == set()
