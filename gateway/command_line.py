"""What the commands share: the option for the config, exit codes, and how one ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway.config_file import users_path
from gateway.errors import ConfigError

FAILURE, USAGE = 1, 2

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The config file. Without it: ./fieldgate.yaml if there is one, else the defaults.",
    ),
]

UsersConfig = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The config whose users file is meant."),
]


def end(message: str, code: int) -> NoReturn:
    """Say why on standard error, and end with this exit code."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


def users_file(config: Path | None) -> Path:
    """Where the users of a config are; ends the command where that can't be found out."""
    try:
        return users_path(config, os.environ)
    except ConfigError as error:
        end(str(error), USAGE)
