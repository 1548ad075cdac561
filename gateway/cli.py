"""The command `fieldgate`. Exit codes: 0, 1 failure, 2 usage or config."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

import gateway
from gateway.config import Config
from gateway.config_file import chosen_file, load
from gateway.errors import ConfigError

FAILURE, USAGE = 1, 2

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


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The config file. Without it: ./fieldgate.yaml if there is one, else the defaults.",
    ),
]


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
def version() -> None:
    """Print the version."""
    typer.echo(f"fieldgate {gateway.__version__}")


def main() -> None:
    """The console script."""
    app(prog_name="fieldgate")


def _load(file: Path | None) -> Config:
    try:
        return load(file, os.environ)
    except ConfigError as error:
        _end(str(error), USAGE)


def _summary(config: Config) -> str:
    names = [device.name for device in config.devices]
    count = f"{len(names)} device{'' if len(names) == 1 else 's'}"
    listed = f" ({', '.join(names[:8])}{', …' if len(names) > 8 else ''})" if names else ""
    if config.broker.engine == "external":
        broker = f"broker at {config.broker.url}"
    else:
        broker = f"broker {config.broker.engine} on {', '.join(config.broker.listeners)}"
    return f"{count}{listed}, {broker}, page on {config.web.listen}"


def _end(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)
