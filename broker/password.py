"""Passwords: argon2id hashes, checked one at a time in a thread of their own.

One check takes about 64 MiB and 0.2 s, so checks wait in a bounded queue, and a password that was
right once is remembered as a keyed digest in memory, until the users change.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from collections import Counter, OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from broker.errors import PasswordsBusyError

MAX_WAITING = 64
"""Checks that may wait: at 0.2 s each the last one waits about 13 s, longer than people do."""

MAX_WAITING_PER_SOURCE = 8
"""Checks of one address that may wait, so that no address fills the queue alone."""

MAX_REMEMBERED = 4096
"""Right passwords that are remembered (a few hundred bytes each); the longest unused goes first."""

MAX_PASSWORD_BYTES = 1024
"""A longer password is wrong without being checked."""

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # no i, l, o, 0 or 1: people copy it by hand
_HASHER = PasswordHasher()
_HASH = re.compile(  # six digits of KiB: no hash may ask for more than 1 GiB a check
    r"\$argon2id\$v=19\$m=\d{1,6},t=\d{1,2},p=\d{1,2}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}"
)
_COMMON_HASH = f"$argon2id$v=19$m=65536,t=3,p=4${'A' * 22}${'A' * 43}"


def hash_password(password: str) -> str:
    """The argon2id hash that goes into the users file; takes about 0.2 s."""
    return _HASHER.hash(password)


def random_password(length: int = 20) -> str:
    """A password of about 99 bits (at 20) without characters that look alike."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def is_hash(text: str) -> bool:
    """Whether this is an argon2id hash that we would check a password against."""
    return len(text) <= 512 and _HASH.fullmatch(text) is not None


class CheckQueue:
    """The one thread that runs argon2, and how many checks may wait for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._waiting: Counter[str] = Counter()
        self._closed = False

    def put(self, encoded: str, password: bytes, source: str) -> asyncio.Future[bool]:
        """Check a password against a hash in the thread; raises PasswordsBusyError at a bound."""
        if self._closed:
            raise PasswordsBusyError("no login is checked any more: the program is stopping")
        if self._waiting.total() >= MAX_WAITING:
            raise PasswordsBusyError("too many logins wait to be checked: try again in a while")
        if self._waiting[source] >= MAX_WAITING_PER_SOURCE:
            raise PasswordsBusyError(
                "too many logins from this address wait to be checked: try again in a while"
            )
        self._waiting[source] += 1
        answer = asyncio.get_running_loop().run_in_executor(
            self._thread, _verify, encoded, password
        )
        answer.add_done_callback(lambda _: self._done(source))
        return answer

    def close(self) -> None:
        """Start no further check; the one that runs ends by itself within a second."""
        self._closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _done(self, source: str) -> None:
        self._waiting[source] -= 1
        if not self._waiting[source]:
            del self._waiting[source]


class PasswordCheck:
    """Checks passwords against the hashes of one version of the users file."""

    def __init__(self, hashes: Mapping[str, str], queue: CheckQueue) -> None:
        self._hashes = hashes
        self._decoy = _decoy(next(iter(hashes.values()), _COMMON_HASH))
        self._queue = queue
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._running: dict[bytes, asyncio.Future[bool]] = {}

    async def is_right(self, name: str, password: bytes, source: str = "") -> bool:
        """Whether the password is this user's; raises PasswordsBusyError.

        An unknown user costs what a wrong password costs. Whoever asks for what is being checked
        already waits for that answer, so a thousand clients of one user cost one check.
        """
        if len(password) > MAX_PASSWORD_BYTES:
            return False
        digest = self._digest(name, password)
        if digest in self._right:
            self._right.move_to_end(digest)
            return True
        running = self._running.get(digest)
        if running is None:
            running = self._queue.put(self._hashes.get(name, self._decoy), password, source)
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


def _verify(encoded: str, password: bytes) -> bool:
    try:
        return _HASHER.verify(encoded, password)
    except VerificationError:
        return False


def _decoy(like: str) -> str:
    """A hash that no password has, and that costs the same to check."""
    head, salt, digest = like.rsplit("$", 2)
    return "$".join([head, *(_noise(len(part)) for part in (salt, digest))])


def _noise(length: int) -> str:
    raw = secrets.token_bytes(length * 3 // 4)
    return base64.b64encode(raw).decode().rstrip("=")
