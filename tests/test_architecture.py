"""Who may import whom: `gateway ─► webui ─► broker` and `gateway ─► broker`, and not back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("broker", "gateway", "webui")
MAY_IMPORT = {"broker": set[str](), "webui": {"broker"}, "gateway": {"broker", "webui"}}

# `errors` holds what the functions of the others promise to raise.
OPEN_MODULES_OF_BROKER = {"access", "config", "errors", "link", "serving", "topics"}
COMPOSITION = {"gateway.app", "gateway.cli"}
KNOW_NO_MQTT = ("gateway.readers", "gateway.decoders", "gateway.framers")
MQTT = {"broker", "paho", "amqtt"}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: `module` is the whole name, `name` what is taken from it, if any."""

    importer: str
    line: int
    module: str
    name: str | None = None

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, root: Path) -> Iterator[Import]:
    """Every import of a file, at any depth; `from package import module` names the module."""
    importer = module_name(path, root)
    package = importer if path.stem == "__init__" else importer.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(importer, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            levels = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*(levels if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                yield one_name(importer, node.lineno, source, alias.name, root)


def one_name(importer: str, line: int, source: str, name: str, root: Path) -> Import:
    inner = root.joinpath(*source.split("."), name)
    if inner.is_dir() or inner.with_suffix(".py").is_file():
        return Import(importer, line, f"{source}.{name}")
    return Import(importer, line, source, name)


def why_wrong(found: Import) -> str | None:
    """The rule that an import breaks."""
    home = found.importer.partition(".")[0]
    if found.importer.startswith(KNOW_NO_MQTT) and found.top in MQTT:
        return "readers, framers and decoders know no MQTT"
    if found.top not in PACKAGES or found.top == home:
        return None
    if found.top not in MAY_IMPORT[home]:
        return f"{home} imports no {found.top}"
    if home == "gateway" and found.importer not in COMPOSITION:
        if found.top == "webui":
            return "inside gateway only app.py and cli.py import webui"
        if found.module == "broker.serving":
            return "inside gateway only app.py and cli.py import the broker's server"
    if found.top == "broker":
        return why_closed(found)
    return None


def why_closed(found: Import) -> str | None:
    module = found.module.removeprefix("broker").removeprefix(".")
    if module not in OPEN_MODULES_OF_BROKER:
        return f"of broker, others import {', '.join(sorted(OPEN_MODULES_OF_BROKER))} only"
    if found.name is not None and found.name.startswith("_"):
        return "of broker, others import public names only"
    return None


def wrong_imports(root: Path) -> list[str]:
    """Each wrong import as `file:line: what, why`."""
    return [
        f"{path.relative_to(root)}:{found.line}: imports {found.module}, but {reason}"
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
        if "node_modules" not in path.parts
        for found in imports(path, root)
        if (reason := why_wrong(found)) is not None
    ]


def test_every_import_goes_the_allowed_way() -> None:
    assert wrong_imports(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("broker/router.py", "import gateway.config"),
        ("broker/router.py", "from webui import hub"),
        ("webui/hub.py", "from gateway.measurement import Value"),
        ("webui/hub.py", "    from broker.session import Session"),
        ("webui/hub.py", "from broker.native import codec"),
        ("webui/hub.py", "import broker"),
        ("webui/hub.py", "from broker.topics import _levels"),
        ("gateway/publisher.py", "from webui.hub import Hub"),
        ("gateway/publisher.py", "from broker import serving"),
        ("gateway/publisher.py", "from broker.serving import serving"),
        ("gateway/app.py", "from broker.engine import amqtt"),
        ("gateway/framers/framer.py", "from broker.topics import matcher"),
        ("gateway/readers/host.py", "from broker.link import Message"),
        ("gateway/decoders/json.py", "from paho.mqtt import client"),
        ("gateway/readers/__init__.py", "from ...broker import link"),
    ],
)
def test_a_wrong_import_is_reported_with_file_and_line(
    tmp_path: Path, file: str, line: str
) -> None:
    write(tmp_path, file, line)
    (report,) = wrong_imports(tmp_path)
    assert report.startswith(f"{file}:3: imports ")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("broker/serving.py", "from broker.native import codec"),
        ("broker/serving.py", "from . import _private"),
        ("webui/mqtt.py", "from broker.serving import Broker"),
        ("gateway/app.py", "from webui.app import serving"),
        ("gateway/cli.py", "from broker import serving"),
        ("gateway/publisher.py", "from broker.link import Link"),
        ("gateway/publisher.py", "import broker.topics"),
        ("gateway/readers/host.py", "from ..measurement import Value"),
        ("gateway/readers/host.py", "import psutil"),
    ],
)
def test_an_allowed_import_is_not_reported(tmp_path: Path, file: str, line: str) -> None:
    write(tmp_path, file, line)
    assert wrong_imports(tmp_path) == []


def write(root: Path, file: str, line: str) -> None:
    """A small package tree with one file that imports something, inside a function or not."""
    for name in ("link", "serving", "topics", "native/codec"):
        module = root / "broker" / f"{name}.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.touch()
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    above = "def later():" if line.startswith(" ") else "import os"
    path.write_text(f'"""Doc."""\n{above}\n{line}\n', encoding="utf-8")
