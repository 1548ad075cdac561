"""Who gets in and who may do what: all that the broker, the web and the program ask about it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from broker.attempts import Attempts, source_of
from broker.check_queue import CheckQueue
from broker.errors import AccessError, TooManyAttemptsError
from broker.file_stamp import Stamp, stamp_of
from broker.mosquitto_acl import Imported, import_mosquitto
from broker.password import MAX_PASSWORD_BYTES, PasswordCheck
from broker.policy import (
    ADMIN_GROUP,
    ANONYMOUS,
    ANYBODY,
    OPEN,
    Action,
    Decision,
    Policy,
    Rule,
    User,
)
from broker.site import host_refusal, is_host, origin_refusal
from broker.token import Token, parse_lifetime
from broker.token_file import add_token, read_tokens, revoke_token
from broker.tokens import Tokens, TokensFile
from broker.user_edit import add_rules, add_user, list_users, remove_user, set_password
from broker.users_file import (
    MAX_NAME_CHARACTERS,
    Accounts,
    create_with_admin,
    parse_users,
    read_users,
)
from broker.verdict import explained

__all__ = [
    "ADMIN_GROUP",
    "ANONYMOUS",
    "ANYBODY",
    "MAX_NAME_CHARACTERS",
    "MAX_PASSWORD_BYTES",
    "OPEN",
    "Accounts",
    "Action",
    "Decision",
    "Entry",
    "Imported",
    "NoUsers",
    "Policy",
    "Rule",
    "Token",
    "Tokens",
    "TokensFile",
    "User",
    "Users",
    "UsersFile",
    "add_rules",
    "add_token",
    "add_user",
    "create_with_admin",
    "door",
    "explained",
    "host_refusal",
    "import_mosquitto",
    "is_host",
    "list_users",
    "open_users",
    "origin_refusal",
    "parse_lifetime",
    "parse_users",
    "read_tokens",
    "remove_user",
    "revoke_token",
    "set_password",
    "source_of",
]

_log = logging.getLogger(__name__)


class Entry(Enum):
    """What a listener asks of those who come."""

    OPEN = "anybody may do everything"
    LOGIN = "users log in; without credentials only what rules for * allow"
    CREATE_USERS = "there must be users first: write the users file, then it is LOGIN"


def door(*, loopback: bool, anonymous: bool, users_exist: bool) -> Entry:
    """How a listener lets people in; raises AccessError where the config contradicts itself."""
    if users_exist:
        return Entry.LOGIN
    if not loopback:
        return Entry.CREATE_USERS
    if not anonymous:
        raise AccessError(
            "broker.anonymous is false and there are no users, so nobody could log in:"
            " add one by `fieldgate user add NAME`, or take `anonymous: false` away"
        )
    return Entry.OPEN


class Users:
    """Users in force: their policy, who they are, and who has the right password.

    Lives on one event loop. What is remembered of passwords is forgotten when the users change.
    """

    exist = True

    def __init__(self, accounts: Accounts) -> None:
        self._queue = CheckQueue()
        self._listeners: list[Callable[[], None]] = []
        self._attempts = Attempts()
        self.take_up(accounts)

    def take_up(self, accounts: Accounts) -> None:
        """Put other users and rules in force; a login under way counts by these."""
        hashes = {name: account.password_hash for name, account in accounts.by_name.items()}
        self._accounts = accounts
        self._check = PasswordCheck(hashes, self._queue)
        for listener in self._listeners:
            listener()

    @property
    def policy(self) -> Policy:
        """The rules as they are now; another object after each change."""
        return self._accounts.policy

    def find(self, name: str) -> User | None:
        """The user as they are now, to judge again who was let in before a change."""
        account = self._accounts.by_name.get(name)
        return account.user if account else None

    def fingerprint(self, name: str) -> str | None:
        """What a login lasts as long as: another one after a change of password or groups."""
        account = self._accounts.by_name.get(name)
        return account.fingerprint if account else None

    async def authenticate(self, name: str, password: bytes, address: str = "") -> User | None:
        """The user if the password is right, else None.

        Raises TooManyAttemptsError where this address has to wait, and PasswordsBusyError where
        too many checks wait already; neither says anything about the password.
        """
        source = source_of(address)
        name = name[: MAX_NAME_CHARACTERS + 1]  # longer is nobody's, and would be remembered

        def wait_s() -> float:
            return self._attempts.wait_s(source, name, time.monotonic())

        if wait := wait_s():
            raise TooManyAttemptsError(wait)
        check = self._check
        right = await check.is_right(name, password, source, wait_s)
        while right and check is not self._check:  # the users changed meanwhile: ask those of now
            check = self._check
            right = await check.is_right(name, password, source, wait_s)
        if not right:
            self._attempts.wrong(source, name, time.monotonic())
            return None
        return self.find(name)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this, on the loop, after each change of users or rules."""
        self._listeners.append(listener)

    async def reload_if_changed(self) -> bool:
        """Take up what changed on disk: nothing here."""
        return False

    def close(self) -> None:
        """Check no more passwords."""
        self._queue.close()


class UsersFile(Users):
    """The users of a file, taken up again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises AccessError."""
        accounts, stamp = read_users(path)
        super().__init__(accounts)
        self._path = path
        self._seen: Stamp | None = stamp

    async def reload_if_changed(self) -> bool:
        """Take up a changed file; True where it was. A faulty one is logged, the old one stays."""
        stamp = await asyncio.to_thread(stamp_of, self._path)
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            accounts, self._seen = await asyncio.to_thread(read_users, self._path)
        except AccessError as error:
            _log.error("The users file changed and can't be used, the old users stay: %s", error)
            return False
        if accounts != self._accounts:  # taking up ends whatever is open by the old ones
            self.take_up(accounts)
        _log.info("The users file %s changed and was taken up", self._path)
        return True


class NoUsers(Users):
    """No users file: anybody may do everything, and no password is right."""

    exist = False

    def __init__(self) -> None:
        super().__init__(Accounts(policy=OPEN))


def open_users(path: Path, *, named: bool) -> Users:
    """The users of a file; one that the config doesn't name may be missing. Raises AccessError."""
    if not named and not path.exists():
        return NoUsers()
    return UsersFile(path)
