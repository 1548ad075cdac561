from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from argon2 import PasswordHasher

from broker.errors import PasswordsBusyError
from broker.password import (
    MAX_PASSWORD_BYTES,
    MAX_WAITING,
    MAX_WAITING_PER_SOURCE,
    CheckQueue,
    PasswordCheck,
    hash_password,
    is_hash,
)

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
HASHES = {"ada": CHEAP.hash("right"), "bob": CHEAP.hash("bobs")}


@pytest.fixture
def queue() -> Iterator[CheckQueue]:
    queue = CheckQueue()
    yield queue
    queue.close()


async def test_only_the_users_own_password_is_right(queue: CheckQueue) -> None:
    check = PasswordCheck(HASHES, queue)
    for _ in range(2):  # the second time from memory
        assert await check.is_right("ada", b"right")
        assert not await check.is_right("ada", b"bobs")
        assert not await check.is_right("bob", b"right")
        assert not await check.is_right("eve", b"right")
        assert not await check.is_right("ada", b"")
        assert not await check.is_right("ada", b"right\0")
        assert not await check.is_right("\udc80", b"right")


async def test_a_password_may_be_any_bytes_up_to_the_bound(queue: CheckQueue) -> None:
    longest = b"\xff" * MAX_PASSWORD_BYTES
    check = PasswordCheck({"ada": CHEAP.hash(longest), "eve": CHEAP.hash(longest + b"x")}, queue)
    assert await check.is_right("ada", longest)
    assert not await check.is_right("eve", longest + b"x")


async def test_a_hash_of_ours_is_argon2id_and_right(queue: CheckQueue) -> None:
    encoded = hash_password("right")
    assert encoded.startswith("$argon2id$v=19$m=65536,")
    assert is_hash(encoded)
    assert await PasswordCheck({"ada": encoded}, queue).is_right("ada", b"right")


def test_an_unknown_user_is_checked_against_a_hash_of_the_same_cost() -> None:
    asked: list[str] = []

    class Recorder(CheckQueue):
        def put(self, encoded: str, password: bytes, source: str) -> asyncio.Future[bool]:
            asked.append(encoded)
            return super().put(encoded, password, source)

    async def ask() -> None:
        queue = Recorder()
        assert not await PasswordCheck(HASHES, queue).is_right("eve", b"right")
        queue.close()

    asyncio.run(ask())
    (decoy,) = asked
    assert is_hash(decoy)
    assert decoy.split("$")[:4] == HASHES["ada"].split("$")[:4]
    assert len(decoy) == len(HASHES["ada"])
    assert decoy not in HASHES.values()


class Stopped(CheckQueue):
    """The real queue, whose thread is kept busy until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go: Future[None] = Future()
        self._thread.submit(self.let_go.result, 60)


@pytest.fixture
def stopped() -> Iterator[Stopped]:
    queue = Stopped()
    yield queue
    if not queue.let_go.done():
        queue.let_go.set_result(None)
    queue.close()


async def test_a_thousand_clients_of_one_user_cost_one_check(stopped: Stopped) -> None:
    check = PasswordCheck(HASHES, stopped)
    waiting = [asyncio.ensure_future(check.is_right("ada", b"right", "h")) for _ in range(1000)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # whoever leaves takes the check away from nobody
    stopped.let_go.set_result(None)
    assert all(await asyncio.gather(*waiting[1:]))


async def test_an_address_may_fill_its_share_of_the_queue_only(stopped: Stopped) -> None:
    check = PasswordCheck(HASHES, stopped)
    mine = [
        asyncio.ensure_future(check.is_right("ada", b"%d" % number, "mine"))
        for number in range(MAX_WAITING_PER_SOURCE)
    ]
    await asyncio.sleep(0)
    with pytest.raises(PasswordsBusyError, match="from this address"):
        await check.is_right("ada", b"one more", "mine")
    other = asyncio.ensure_future(check.is_right("ada", b"right", "other"))
    await asyncio.sleep(0)
    stopped.let_go.set_result(None)
    assert await other
    assert not any(await asyncio.gather(*mine))
    assert not await check.is_right("ada", b"one more", "mine")


async def test_the_queue_is_full_at_its_bound_and_empties_again(stopped: Stopped) -> None:
    check = PasswordCheck(HASHES, stopped)
    waiting = [
        asyncio.ensure_future(check.is_right("ada", b"%d" % number, str(number)))
        for number in range(MAX_WAITING)
    ]
    await asyncio.sleep(0)
    with pytest.raises(PasswordsBusyError, match="too many logins wait"):
        await check.is_right("ada", b"right", "late")
    stopped.let_go.set_result(None)
    await asyncio.gather(*waiting)
    assert await check.is_right("ada", b"right", "late")


async def test_what_waits_when_the_program_stops_is_told_so(stopped: Stopped) -> None:
    check = PasswordCheck(HASHES, stopped)
    waiting = asyncio.ensure_future(check.is_right("ada", b"right"))
    await asyncio.sleep(0)
    stopped.close()
    with pytest.raises(PasswordsBusyError, match="stopping"):
        await waiting
    with pytest.raises(PasswordsBusyError, match="stopping"):
        await check.is_right("ada", b"right")


async def test_the_right_password_unused_longest_is_forgotten_first(
    queue: CheckQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.password.MAX_REMEMBERED", 1)
    check = PasswordCheck(HASHES, queue)
    assert await check.is_right("ada", b"right")
    assert await check.is_right("bob", b"bobs")
    queue.close()
    assert await check.is_right("bob", b"bobs")
    with pytest.raises(PasswordsBusyError):
        await check.is_right("ada", b"right")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        CHEAP.hash("x").replace("argon2id", "argon2i"),
        "$argon2id$v=19$m=9999999,t=1,p=1$" + "A" * 22 + "$" + "A" * 43,
        "$2b$12$" + "A" * 53,
        CHEAP.hash("x") + "\n",
    ],
)
def test_what_is_no_argon2id_hash_of_bearable_cost_is_none(text: str) -> None:
    assert not is_hash(text)


def test_no_password_is_kept_in_memory_as_text() -> None:
    async def remembered() -> str:
        queue = CheckQueue()
        check = PasswordCheck(HASHES, queue)
        assert await check.is_right("ada", b"right")
        queue.close()
        return repr(vars(check))

    assert "b'right'" not in asyncio.run(remembered())
