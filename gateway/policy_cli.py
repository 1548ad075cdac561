"""`fieldgate policy …`: what the rules of users.yaml say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from broker.access import (
    ANONYMOUS,
    ANYBODY,
    User,
    add_rules,
    explained,
    import_mosquitto,
    list_users,
)
from broker.errors import AccessError, TopicError
from gateway.command_line import FAILURE, USAGE, UsersConfig, end, users_file
from gateway.config_file import load
from gateway.errors import ConfigError

MAX_ACL_BYTES = 1024 * 1024

app = typer.Typer(no_args_is_help=True, help="The rules of users.yaml.")


@app.command()
def explain(
    user: Annotated[
        str, typer.Argument(metavar="USER", help='A user, or "*": somebody without a login.')
    ],
    topic: Annotated[
        str, typer.Argument(metavar="TOPIC", help="A topic, or a filter to subscribe to.")
    ],
    group: Annotated[
        list[str] | None,
        typer.Option(help="As if they were in this group, too; then USER may be one to come."),
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(help="The MQTT client id that %c stands for.")
    ] = None,
    config: UsersConfig = None,
) -> None:
    """Say whether a user may publish and subscribe to a topic, by which rule, and why.

    Exit codes: 0 whatever the answer is, 1 no such user or a faulty users file, 2 no topic.
    """
    path = users_file(config)
    if not path.exists():
        typer.echo(f"There is no {path}: no users, and everything is allowed on this machine.")
        return
    try:
        accounts = list_users(path)
    except AccessError as error:
        end(str(error), FAILURE)
    who = ANONYMOUS
    if user != ANYBODY:
        known = accounts.by_name.get(user)
        if known is None and not group:
            names = ", ".join(accounts.by_name) or "nobody"
            end(f"{path} has no user {user}; it has {names}. Or give a --group.", FAILURE)
        groups = known.user.groups if known else frozenset[str]()
        who = User(user, groups | frozenset(group or ()))
    elif group:
        end("Somebody without a login is in no group: give a USER, or no --group.", USAGE)
    elif not _lets_anybody_in(config):
        typer.echo("Nobody gets in without a login, since broker.anonymous is false.")
        return
    try:
        answer = [
            *explained(accounts.policy, who, topic, client_id=client_id, where=path.name),
        ]
    except TopicError as error:
        end(str(error), USAGE)
    typer.echo("\n".join([f"{_introduced(who)}, by {path}:", *answer]))


@app.command("import-mosquitto")
def import_acl(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Mosquitto's acl_file.")],
    write: Annotated[bool, typer.Option("--write", help="Add them to the users file.")] = False,
    config: UsersConfig = None,
) -> None:
    """Make rules of Mosquitto's ACL file, and say what is not the same.

    The rules go to standard output, or by --write into the users file; what to know goes to
    standard error. Exit codes: 0, 1 a faulty file, 2 usage or config.
    """
    path = users_file(config)
    try:
        imported = import_mosquitto(_text_of(file), str(file))
        if write:
            count = add_rules(path, imported.rules)
            typer.echo(f"Added {count} rules to {path}.")
        else:
            typer.echo("\n".join(["rules:", *(f"  - {rule}" for rule in imported.rules)]))
    except AccessError as error:
        end(str(error), FAILURE)
    for note in (_SUBSCRIBING, *imported.notes):
        typer.echo(note, err=True)
    if imported.users:
        names = ", ".join(imported.users)
        typer.echo(f"Each needs a login here: `fieldgate user add`, for {names}.", err=True)


_SUBSCRIBING = (
    "A subscription is granted as a whole here or refused, while Mosquitto grants any and holds"
    " back what may not be read: subscribe within what a rule allows."
)


def _text_of(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_ACL_BYTES + 1)
    except OSError as error:
        end(f"{file} can't be read: {error.strerror}", USAGE)
    if len(raw) > MAX_ACL_BYTES:
        raise AccessError(f"{file} is too long: {MAX_ACL_BYTES} bytes at most")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise AccessError(f"{file}:{line}: this is not UTF-8 text") from None


def _lets_anybody_in(config: Path | None) -> bool:
    try:
        return load(config, os.environ).broker.anonymous
    except ConfigError as error:
        end(str(error), USAGE)


def _introduced(user: User) -> str:
    if user.name is None:
        return "Somebody without a login"
    groups = ", ".join(sorted(user.groups))
    return f"{user.name}, of the groups {groups}" if groups else f"{user.name}, of no group"
