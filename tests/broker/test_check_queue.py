from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future

import pytest

from broker.check_queue import MAX_WAITING, CheckQueue
from broker.errors import PasswordsBusyError, TooManyAttemptsError


class Held:
    """A queue whose thread is busy until it is let go, and the order of the checks after that."""

    def __init__(self) -> None:
        self.queue = CheckQueue()
        self.let_go: Future[None] = Future()
        self.order: list[str] = []
        self.queue.put(lambda: self.let_go.result(60) is None, "held")

    def put(self, name: str, source: str, wait_s: float = 0.0) -> asyncio.Future[bool]:
        def check() -> bool:
            self.order.append(name)
            return True

        return self.queue.put(check, source, lambda: wait_s)


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    held = Held()
    yield held
    if not held.let_go.done():
        held.let_go.set_result(None)
    held.queue.close()


async def test_addresses_have_their_turns_one_after_the_other(held: Held) -> None:
    answers = [held.put(f"many{number}", "many") for number in range(5)]
    answers += [held.put("few0", "few"), held.put("one", "one"), held.put("few1", "few")]
    held.let_go.set_result(None)
    assert await asyncio.gather(*answers) == [True] * 8
    assert held.order == ["many0", "few0", "one", "many1", "few1", "many2", "many3", "many4"]


async def test_at_the_bound_the_address_with_the_most_gives_way(held: Held) -> None:
    flood = [held.put(str(number), "flood") for number in range(MAX_WAITING)]
    with pytest.raises(PasswordsBusyError, match="too many logins wait"):
        held.put("one more", "flood")
    other = held.put("other", "other")
    with pytest.raises(PasswordsBusyError, match="from this address"):
        await flood[-1]
    held.let_go.set_result(None)
    assert await other
    assert held.order[:2] == ["0", "other"]
    assert await flood[-2]
    assert len(held.order) == MAX_WAITING


async def test_who_has_to_wait_is_told_so_at_their_turn_and_the_next_is_checked(
    held: Held,
) -> None:
    late, other = held.put("late", "late", wait_s=5.0), held.put("other", "other")
    held.let_go.set_result(None)
    with pytest.raises(TooManyAttemptsError):
        await late
    assert await other
    assert held.order == ["other"]


async def test_a_check_that_fails_says_so_and_the_next_one_runs(held: Held) -> None:
    def fail() -> bool:
        raise MemoryError

    failing, other = held.queue.put(fail, "a"), held.put("other", "b")
    held.let_go.set_result(None)
    with pytest.raises(MemoryError):
        await failing
    assert await other


async def test_after_the_end_nothing_is_checked(held: Held) -> None:
    waiting = held.put("waiting", "a")
    held.queue.close()
    assert waiting.cancelled()
    with pytest.raises(PasswordsBusyError, match="stopping"):
        held.put("late", "a")
    held.let_go.set_result(None)
    await asyncio.sleep(0.05)
    assert held.order == []
