"""Passwords: argon2id hashes, checked one at a time in a thread of their own.

A check of a password that people choose takes 64 MiB and some 0.2 s, so checks wait in a bounded
queue, and a password that was right once is remembered as a keyed digest in memory, until the
users change. A password that we made can't be guessed, however quick a check is: it takes 1 MiB
and half a millisecond, so a thousand devices with a login each are back at once after a restart.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from hashlib import blake2b

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from broker.check_queue import CheckQueue
from broker.errors import PasswordsBusyError

MAX_REMEMBERED = 4096
"""Right passwords that are remembered (a few hundred bytes each); the longest unused goes first."""

MAX_PASSWORD_BYTES = 1024
"""A longer password is wrong without being checked."""

MADE_LENGTH = 24
"""Characters of a password that we make for a device: 118 bits, so that no hash need be slow."""

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # no i, l, o, 0 or 1: people copy it by hand
_HASHER = PasswordHasher()
_QUICK_HASHER = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
_HASH = re.compile(  # six digits of KiB: no hash may ask for more than 1 GiB a check
    r"\$argon2id\$v=19\$m=\d{1,6},t=\d{1,2},p=\d{1,2}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}"
)
_COST = re.compile(r"m=(\d+),t=(\d+)")
_COMMON_HASH = f"$argon2id$v=19$m=65536,t=3,p=4${'A' * 22}${'A' * 43}"


def hash_password(password: str) -> str:
    """The argon2id hash that goes into the users file; takes about 0.2 s."""
    return _HASHER.hash(password)


def quick_hash(password: str) -> str:
    """The same for a password of `random_password(MADE_LENGTH)` alone; takes half a ms."""
    return _QUICK_HASHER.hash(password)


def random_password(length: int = 20) -> str:
    """A password of about 99 bits (at 20) without characters that look alike."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def is_hash(text: str) -> bool:
    """Whether this is an argon2id hash that we would check a password against."""
    return len(text) <= 512 and _HASH.fullmatch(text) is not None


class PasswordCheck:
    """Checks passwords against the hashes of one version of the users file."""

    def __init__(self, hashes: Mapping[str, str], queue: CheckQueue) -> None:
        self._hashes = hashes
        self._decoy = _decoy(max(hashes.values(), key=_cost, default=_COMMON_HASH))
        self._queue = queue
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._running: dict[bytes, asyncio.Future[bool]] = {}

    async def is_right(
        self,
        name: str,
        password: bytes,
        source: str = "",
        wait_s: Callable[[], float] = lambda: 0.0,
    ) -> bool:
        """Whether the password is this user's; raises PasswordsBusyError, TooManyAttemptsError.

        `wait_s` is asked when its turn comes: whoever has to wait by then isn't checked. A wrong
        password costs the same whoever's it is, and an unknown user costs that, too. Whoever asks
        for what is being checked already waits for that answer, so a thousand clients of one user
        cost one check, and a client that gave up and comes again has its old place.
        """
        if len(password) > MAX_PASSWORD_BYTES:
            return False
        digest = self._digest(name, password)
        if digest in self._right:
            self._right.move_to_end(digest)
            return True
        running = self._running.get(digest)
        if running is None:
            encoded = self._hashes.get(name, self._decoy)
            check = partial(_verify, encoded, password, self._decoy)
            running = self._queue.put(check, source, wait_s)
            self._running[digest] = running
            running.add_done_callback(lambda done: self._learn(digest, done))
        try:
            return await asyncio.shield(running) and name in self._hashes
        except asyncio.CancelledError:
            if not running.cancelled():
                raise
            raise PasswordsBusyError(
                "this login was not checked: the program is stopping"
            ) from None

    def _learn(self, digest: bytes, done: asyncio.Future[bool]) -> None:
        del self._running[digest]
        if not done.cancelled() and done.exception() is None and done.result():
            self._right[digest] = None
            if len(self._right) > MAX_REMEMBERED:
                self._right.popitem(last=False)

    def _digest(self, name: str, password: bytes) -> bytes:
        who = name.encode(errors="surrogatepass")
        text = len(who).to_bytes(8, "big") + who + password
        return blake2b(text, key=self._key, digest_size=32).digest()


def _verify(encoded: str, password: bytes, decoy: str) -> bool:
    try:
        return _HASHER.verify(encoded, password)
    except VerificationError:
        if _cost(encoded) < _cost(decoy):  # or the time would tell which names there are
            with suppress(VerificationError):
                _HASHER.verify(decoy, password)
        return False


def _cost(encoded: str) -> int:
    """What a check takes, in KiB and passes over them."""
    found = _COST.search(encoded)
    return int(found[1]) * int(found[2]) if found else 0


def _decoy(like: str) -> str:
    """A hash that no password has, and that costs the same to check."""
    head, salt, digest = like.rsplit("$", 2)
    return "$".join([head, *(_noise(len(part)) for part in (salt, digest))])


def _noise(length: int) -> str:
    raw = secrets.token_bytes(length * 3 // 4)
    return base64.b64encode(raw).decode().rstrip("=")
