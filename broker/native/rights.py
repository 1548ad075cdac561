"""Who comes in, and as whom."""

from __future__ import annotations

from broker.access import ANONYMOUS, Policy, User, Users
from broker.errors import PasswordsBusyError, TooManyAttemptsError
from broker.native.reason import Reason


class Rights:
    """What the users and their rules say of clients, as they are now."""

    def __init__(self, users: Users, *, anonymous: bool) -> None:
        self._users = users
        self._anonymous = anonymous
        self.wrong = 0
        """Logins with a wrong password."""
        self.limited = 0
        """Logins not looked at, since too many of their address were wrong."""
        self.busy = 0
        """Logins for which there was no place in line."""

    @property
    def policy(self) -> Policy:
        return self._users.policy

    def admitted(
        self, name: str | None, *, must_log_in: bool = False, known_as: str | None = None
    ) -> tuple[User | None, Reason] | None:
        """Who comes in, or None and why not; None where a password has to be checked first."""
        if name is None and known_as is not None:
            return self._users.find(known_as), Reason.NOT_AUTHORIZED
        if must_log_in and name is None:
            return None, Reason.NOT_AUTHORIZED
        if not self._users.exist:
            return ANONYMOUS, Reason.SUCCESS
        if name is None:
            return (ANONYMOUS if self._admits_anybody else None), Reason.NOT_AUTHORIZED
        return None

    async def authenticate(
        self, name: str, password: bytes, address: str
    ) -> tuple[User | None, Reason]:
        """Who logs in, or None and why not. Nothing changes by it."""
        try:
            user = await self._users.authenticate(name, password, address)
        except TooManyAttemptsError:
            self.limited += 1
            return None, Reason.CONNECTION_RATE_EXCEEDED
        except PasswordsBusyError:
            self.busy += 1
            return None, Reason.SERVER_BUSY
        self.wrong += user is None
        return user, Reason.BAD_USER_NAME_OR_PASSWORD

    def user_now(self, user: User) -> User | None:
        """The same user by what they are now, or None if they may not be here any more."""
        if user.name is not None:
            return self._users.find(user.name)
        return ANONYMOUS if not self._users.exist or self._admits_anybody else None

    @property
    def _admits_anybody(self) -> bool:
        return self._anonymous and self.policy.allows_something(ANONYMOUS)
