"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from tests.real_ends import program

PACKAGES = ("uvloop", "uvicorn", "websockets", "starlette", "msgspec", "paho-mqtt", "amqtt")


def described() -> str:
    """The machine and the versions, in two lines."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores ({_cpu_model()}), {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, {_mosquitto_version()}\n{packages}"
    )


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _mosquitto_version() -> str:
    shown = subprocess.run(
        [program("mosquitto"), "-h"], capture_output=True, text=True, check=False
    ).stdout
    return shown.partition("\n")[0].strip()
