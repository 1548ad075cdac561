"""The command `fieldgate`. Exit codes: 0, 1 failure, 2 usage or config."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

import gateway
from broker.errors import AccessError, EngineError
from broker.serving import check_entrances
from gateway import ha_cli, policy_cli, token_cli, user_cli
from gateway.command_line import FAILURE, USAGE, ConfigFile, end
from gateway.config import ROLES, Config
from gateway.config_file import chosen_file, load
from gateway.decoders import DecoderConfig
from gateway.errors import ConfigError, ReaderError
from gateway.explanation import explain
from gateway.framers import FramingConfig
from gateway.schema import Schema
from gateway.yaml_tree import Tree, read_tree

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Part(StrEnum):
    """What can run alone."""

    BROKER = "broker"
    READERS = "readers"
    WEB = "web"


class LogLevel(StrEnum):
    """How much is said on standard error."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


app.add_typer(user_cli.app, name="user")
app.add_typer(token_cli.app, name="token")
app.add_typer(policy_cli.app, name="policy")
app.add_typer(ha_cli.app, name="ha")


@app.callback()
def fieldgate() -> None:
    """Fieldgate: hardware in, a clean MQTT topic tree and a live web page out.

    `fieldgate run` starts it. Without a config file it shows this machine itself.
    """


@app.command()
def run(
    config: ConfigFile = None,
    only: Annotated[
        list[Part] | None,
        typer.Option(help="Run this part alone; may be repeated. Without it: all parts."),
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="In place of the config's log_level.")
    ] = None,
) -> None:
    """Start the gateway, until Ctrl-C.

    That is the broker, the readers and the web page in one process.
    """
    settings = _load(config)
    if log_level is not None:
        settings = settings.model_copy(update={"log_level": log_level.value})
    from gateway.app import run as run_app  # late, so that `check` and the like are quick

    raise typer.Exit(run_app(settings, frozenset(part.value for part in only or [])))


@app.command()
def check(config: ConfigFile = None) -> None:
    """Check the config and start nothing.

    All that is wrong is said at once: file:line, key, what was found, what is allowed.
    """
    settings = _load(config)
    try:
        users_exist = settings.users_path.exists()
        check_entrances(settings.broker, settings.entrances(ROLES), users_exist=users_exist)
    except (AccessError, EngineError) as error:
        end(str(error), USAGE)
    file = config or chosen_file()
    name = f"{file} is" if file else "No fieldgate.yaml here; the defaults are"
    typer.echo(f"{name} fine: {_summary(settings)}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of fieldgate.yaml.

    Editors that know it complete keys and check values.
    """
    typer.echo(
        json.dumps(
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                **Config.model_json_schema(),
                "title": "fieldgate.yaml",
            },
            indent=2,
            ensure_ascii=False,
        )
    )


@app.command()
def ports() -> None:
    """List the serial ports of this machine.

    With USB vendor and product, serial number, a name that stays, and whether you may open it.
    """
    from gateway.port_list import NO_PORTS, found_ports

    typer.echo("\n".join(map(str, found_ports())) or NO_PORTS)


@app.command()
def monitor(
    port: Annotated[
        str, typer.Argument(metavar="PORT", help="As in /dev/ttyUSB0 or socket://nas:4001.")
    ],
    baudrate: Annotated[int, typer.Option(help="Bits per second.")] = 9600,
    bytesize: Annotated[int, typer.Option(help="5, 6, 7 or 8 bits.")] = 8,
    parity: Annotated[str, typer.Option(help="none, even, odd, mark or space.")] = "none",
    stopbits: Annotated[float, typer.Option(help="1, 1.5 or 2.")] = 1,
    framing: Annotated[
        str,
        typer.Option(
            help="How bytes become frames, as in fieldgate.yaml: cobs, or"
            ' \'{type: start_end, start: "hex:02", end: "hex:03"}\'.'
        ),
    ] = "line",
    decoder: Annotated[
        str | None,
        typer.Option(
            help="json, key_value, csv or regex, or a section as in fieldgate.yaml. Without it:"
            " the first that fits."
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="For csv: names, as in temperature,pressure.")
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="For csv: what is between columns.")] = None,
    pattern: Annotated[
        str | None, typer.Option(help="For regex: as in 'T (?P<temperature>[-.0-9]+)'.")
    ] = None,
) -> None:
    """Show what a serial port says, and publish nothing.

    Each frame comes raw and decoded, until Ctrl-C.
    """
    from gateway.monitor import Monitor, device_lines
    from gateway.readers import serial_line
    from gateway.readers.serial_config import SerialConfig

    line = _section(
        SerialConfig,
        {
            "type": "serial",
            "port": port,
            "baudrate": baudrate,
            "bytesize": bytesize,
            "parity": parity,
            "stopbits": stopbits,
        },
    )
    given = {
        **_as_section("--decoder", decoder),
        "columns": columns.split(",") if columns is not None else None,
        "delimiter": delimiter,
        "pattern": pattern,
    }
    wanted = {key: value for key, value in given.items() if value is not None}
    frames = _section(FramingConfig, _as_section("--framing", framing), "--framing")
    serial_port = serial_line(line)
    watched = Monitor(serial_port, _section(DecoderConfig, wanted) if wanted else None, frames)
    try:
        watched.watch(typer.echo, _hint)
    except ReaderError as error:
        end(str(error), FAILURE)
    except KeyboardInterrupt:
        if watched.rejected:
            counts = ", ".join(f"{reason} {count}" for reason, count in watched.rejected.items())
            _hint(f"\nBad frames: {counts}")
        if watched.fitting is not None:
            _hint(f"\nFor fieldgate.yaml:\n\n{device_lines(line, watched.fitting, frames)}")
    finally:
        serial_port.close()


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"fieldgate {gateway.__version__}")


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a plain terminal must not end us over a "°"
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="fieldgate")


def _load(file: Path | None) -> Config:
    try:
        return load(file, os.environ)
    except ConfigError as error:
        end(str(error), USAGE)


def _summary(config: Config) -> str:
    names = [device.name for device in config.devices]
    count = f"{len(names)} device{'' if len(names) == 1 else 's'}"
    listed = f" ({', '.join(names[:8])}{', …' if len(names) > 8 else ''})" if names else ""
    if config.broker.engine == "external":
        broker = f"broker at {config.broker.url}"
    else:
        broker = f"broker {config.broker.engine} on {', '.join(config.broker.listeners)}"
    return f"{count}{listed}, {broker}, page on {config.web.listen}"


def _section(section: Any, given: Mapping[str, object], option: str = "") -> Any:
    """A section of the config that is given as options, or all of it by one."""
    known = TypeAdapter(section)
    try:
        return known.validate_python(given)
    except ValidationError as error:
        problems = explain(error, Tree(), Schema(known.json_schema()))
        lines = (
            f"{option}: {problem}" if option else f"--{problem}".replace("--type: ", "--decoder: ")
            for problem in problems
        )
        end("\n".join(lines), USAGE)


def _as_section(option: str, given: str | None) -> Mapping[str, object]:
    """What an option stands for: a section as in fieldgate.yaml, or its type alone."""
    if given is None:
        return {}
    if not given.startswith("{"):
        return {"type": given}
    try:
        tree = read_tree(given, lambda _line: option, Path(), os.environ)
    except ConfigError as error:
        end(str(error), USAGE)
    if tree.problems or not isinstance(tree.root, dict):
        end("\n".join(map(str, tree.problems)), USAGE)
    return tree.root


def _hint(text: str) -> None:
    typer.echo(text, err=True)
