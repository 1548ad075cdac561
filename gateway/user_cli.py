"""`fieldgate user …`: who may log in, at the broker and on the page."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from broker.access import add_user, list_users, remove_user, set_password
from broker.errors import AccessError
from gateway.command_line import FAILURE, USAGE, UsersConfig, end, users_file

app = typer.Typer(no_args_is_help=True, help="Users who may log in, kept in users.yaml.")

Name = Annotated[str, typer.Argument(metavar="NAME")]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


Made = Annotated[
    bool,
    typer.Option(
        "--random-password",
        help="Make one, for a device, and show it once; it is checked in no time.",
    ),
]


@app.command()
def add(
    name: Name,
    group: Annotated[list[str] | None, typer.Option(help="May be repeated; admin may all.")] = None,
    password_stdin: FromStdin = False,
    random_password: Made = False,
    config: UsersConfig = None,
) -> None:
    """Add a user; a gateway that runs takes it up by itself, unless it is the first one."""
    path = users_file(config)
    is_first = not path.exists()
    given = _password(from_stdin=password_stdin, is_made=random_password)
    try:
        password = add_user(path, name, given, group or ())
    except AccessError as error:
        end(str(error), FAILURE)
    typer.echo(f"Added {name} to {path}." + (" Start Fieldgate again." if is_first else ""))
    _show(password, given)


@app.command()
def passwd(
    name: Name,
    password_stdin: FromStdin = False,
    random_password: Made = False,
    config: UsersConfig = None,
) -> None:
    """Give a user another password."""
    path = users_file(config)
    given = _password(from_stdin=password_stdin, is_made=random_password)
    try:
        password = set_password(path, name, given)
    except AccessError as error:
        end(str(error), FAILURE)
    typer.echo(f"Changed the password of {name}.")
    _show(password, given)


@app.command()
def remove(name: Name, config: UsersConfig = None) -> None:
    """Take a user away."""
    try:
        remove_user(users_file(config), name)
    except AccessError as error:
        end(str(error), FAILURE)
    typer.echo(f"Removed {name}.")


@app.command("list")
def list_all(config: UsersConfig = None) -> None:
    """Print each user and their groups."""
    path = users_file(config)
    if not path.exists():
        typer.echo(f"There is no {path}: no users, and everything is allowed on this machine.")
        return
    try:
        accounts = list_users(path)
    except AccessError as error:
        end(str(error), FAILURE)
    for name, account in accounts.by_name.items():
        typer.echo(f"{name}  {' '.join(sorted(account.user.groups))}".rstrip())


def _password(*, from_stdin: bool, is_made: bool) -> str | None:
    """What was given; None where one is to be made."""
    if is_made:
        if from_stdin:
            end("--random-password and --password-stdin: give one of them.", USAGE)
        return None
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _show(password: str, given: str | None) -> None:
    if given is None:
        typer.echo(f"  password  {password}    (shown this once)")
