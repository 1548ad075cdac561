from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from typing import Literal

import pytest
from argon2 import PasswordHasher

from broker.check_queue import CheckQueue
from broker.errors import PasswordsBusyError, TooManyAttemptsError
from broker.password import (
    MAX_PASSWORD_BYTES,
    PasswordCheck,
    hash_password,
    is_hash,
    quick_hash,
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


def test_what_is_wrong_costs_as_much_as_the_costliest_hash_whoever_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    class Recorder(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - as argon2 names it
            asked.append(str(hash))
            return super().verify(hash, password)

    monkeypatch.setattr("broker.password._HASHER", Recorder())
    hashes = {"quick": quick_hash("made"), "slow": hash_password("chosen"), **HASHES}

    async def ask(name: str, password: bytes) -> list[str]:
        asked.clear()
        queue = CheckQueue()
        await PasswordCheck(hashes, queue).is_right(name, password)
        queue.close()
        return [encoded.split("$")[3] for encoded in asked]

    slow, quick = "m=65536,t=3,p=4", "m=1024,t=1,p=1"
    assert asyncio.run(ask("quick", b"made")) == [quick]
    assert asyncio.run(ask("quick", b"wrong")) == [quick, slow]
    assert asyncio.run(ask("slow", b"wrong")) == [slow]
    assert asyncio.run(ask("nobody", b"made")) == [slow]
    assert is_hash(asked[0])
    assert len(asked[0]) == len(hashes["slow"])
    assert asked[0] not in hashes.values()


class Stopped(CheckQueue):
    """The real queue, whose thread is kept busy until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go: Future[None] = Future()
        self.put(lambda: self.let_go.result(60) is None, "stopped")


@pytest.fixture
async def stopped() -> AsyncIterator[Stopped]:
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


async def test_a_client_that_gave_up_and_comes_again_has_its_old_place(stopped: Stopped) -> None:
    check = PasswordCheck(HASHES, stopped)
    first = asyncio.ensure_future(check.is_right("ada", b"right"))
    other = asyncio.ensure_future(check.is_right("bob", b"bobs"))
    await asyncio.sleep(0)
    first.cancel()
    again = asyncio.ensure_future(check.is_right("ada", b"right"))
    done: list[str] = []
    again.add_done_callback(lambda _: done.append("ada"))
    other.add_done_callback(lambda _: done.append("bob"))
    stopped.let_go.set_result(None)
    assert await other
    assert await again
    assert done == ["ada", "bob"]


async def test_who_has_to_wait_by_the_time_of_their_turn_is_not_checked(queue: CheckQueue) -> None:
    check = PasswordCheck(HASHES, queue)
    with pytest.raises(TooManyAttemptsError) as caught:
        await check.is_right("ada", b"right", wait_s=lambda: 7.0)
    assert caught.value.wait_s == 7.0
    await asyncio.sleep(0)  # whoever comes in the same moment gets the same answer
    assert await check.is_right("ada", b"right")


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
