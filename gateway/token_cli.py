"""`fieldgate token …`: what programs show at the HTTP port instead of a password."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from broker.access import Token, add_token, parse_lifetime, read_tokens, revoke_token
from broker.errors import AccessError
from gateway.command_line import FAILURE, USAGE, end
from gateway.config import TOKENS_FILE
from gateway.config_file import data_path
from gateway.errors import ConfigError

app = typer.Typer(
    no_args_is_help=True, help="Tokens with which programs use the HTTP port, kept as hashes."
)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The config whose data folder is meant."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="To know it again by.")]
Filters = Annotated[
    list[str] | None,
    typer.Option("--filter", metavar="FILTER", help="May watch these topics; may be repeated."),
]
Publish = Annotated[
    list[str] | None,
    typer.Option(metavar="FILTER", help="May publish to these topics; may be repeated."),
]
Expires = Annotated[
    str, typer.Option(metavar="TIME", help="How long it lasts: 30m, 12h, 90d, 52w or never.")
]


@app.command()
def add(
    name: Name,
    filters: Filters = None,
    publish: Publish = None,
    expires: Expires = "90d",
    config: ConfigFile = None,
) -> None:
    """Make a token and print it, this once; a gateway that runs takes it up by itself."""
    path = _path(config)
    try:
        lifetime_s = parse_lifetime(expires)
    except ValueError as error:
        end(f"--expires: {error}", USAGE)
    try:
        secret = add_token(
            path, name, subscribe=filters or (), publish=publish or (), lifetime_s=lifetime_s
        )
    except AccessError as error:
        end(str(error), FAILURE)
    token = read_tokens(path)[0][name]
    # The token alone goes to standard output, so that TOKEN=$(fieldgate token add …) works.
    typer.echo(f"Added {_line(token)}. Shown this once, and kept nowhere:", err=True)
    typer.echo(secret)


@app.command("list")
def list_all(config: ConfigFile = None) -> None:
    """Print each token: what it may and until when; the token itself nobody knows any more."""
    path = _path(config)
    try:
        tokens, _ = read_tokens(path)
    except AccessError as error:
        end(str(error), FAILURE)
    if not tokens:
        typer.echo(f"There are no tokens in {path}.")
    for token in tokens.values():
        typer.echo(_line(token))


@app.command()
def revoke(name: Name, config: ConfigFile = None) -> None:
    """Take a token away; what is open with it is closed within seconds."""
    try:
        revoke_token(_path(config), name)
    except AccessError as error:
        end(str(error), FAILURE)
    typer.echo(f"Revoked {name}.")


def _line(token: Token) -> str:
    said = [token.name]
    if token.subscribe:
        said.append(f"watches {' '.join(token.subscribe)}")
    if token.publish:
        said.append(f"publishes {' '.join(token.publish)}")
    if token.expires_s is None:
        said.append("never ends")
    else:
        end = datetime.fromtimestamp(token.expires_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
        said.append(f"{'ended' if token.is_over(time.time()) else 'ends'} {end}")
    return "  ".join(said)


def _path(config: Path | None) -> Path:
    try:
        return data_path(config, os.environ) / TOKENS_FILE
    except ConfigError as error:
        end(str(error), USAGE)
