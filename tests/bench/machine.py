"""What the figures are measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.real_ends import program

PACKAGES = (
    "uvloop",
    "uvicorn",
    "websockets",
    "starlette",
    "msgspec",
    "paho-mqtt",
    "amqtt",
    "flask-socketio",
    "gevent",
)


def described() -> str:
    """The machine and the versions, in two lines."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores ({_cpu_model()}), {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, {_first_line('mosquitto', '-h')},"
        f" {_first_line('nginx', '-v')}\n{packages}"
    )


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(name: str, option: str) -> str:
    """What a program says of its version, or that there is none."""
    try:
        asked = subprocess.run([program(name), option], capture_output=True, text=True, check=False)
    except pytest.skip.Exception:
        return f"no {name}"
    return (asked.stdout or asked.stderr).partition("\n")[0].strip()
