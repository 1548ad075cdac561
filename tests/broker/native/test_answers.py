from __future__ import annotations

import asyncio

from broker.native.answers import SLICE, SOMEBODY, TIDY_AT, Answers, Somebody
from tests.real_ends import until


class Caller:
    """Somebody who may leave."""

    is_open = True


async def test_what_is_durable_already_is_answered_at_once() -> None:
    answers, said = Answers(), list[int]()
    answers.after(0, lambda: said.append(1), SOMEBODY)
    assert said == [1]


async def test_answers_keep_their_order_and_others_have_their_turns_between() -> None:
    answers, said = Answers(), list[int]()
    for number in range(1, 2 * SLICE + 1):
        answers.after(1, lambda number=number: said.append(number), SOMEBODY)  # type: ignore[misc]
    answers.after(2, lambda: said.append(-1), SOMEBODY)
    answers.settle(1)
    assert said == list(range(1, SLICE + 1))
    await asyncio.sleep(0)
    assert said == list(range(1, 2 * SLICE + 1))
    assert len(answers) == 1
    answers.settle(2)
    assert said[-1] == -1


async def test_one_answers_fault_keeps_back_no_other() -> None:
    answers, said = Answers(), list[int]()
    faults = list[dict[str, object]]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, fault: faults.append(fault))
    answers.after(1, lambda: said.append(1), SOMEBODY)
    answers.after(1, lambda: said.append([][0]), SOMEBODY)
    answers.after(1, lambda: said.append(3), SOMEBODY)
    asyncio.get_running_loop().call_soon(answers.settle, 1)
    for _ in range(3):
        await asyncio.sleep(0)
    assert said == [1, 3]
    assert len(faults) == 1


async def test_answers_to_those_who_have_left_do_not_pile_up() -> None:
    answers, said = Answers(), list[int]()
    stays = Somebody()
    for number in range(20):
        caller = Caller()
        for _ in range(1000):
            answers.after(1, lambda: said.append(-1), caller)
        caller.is_open = False
        answers.after(1, lambda number=number: said.append(number), stays)  # type: ignore[misc]
        assert len(answers) <= TIDY_AT
    answers.settle(1)
    await until(lambda: not len(answers), "all are answered")
    assert [each for each in said if each >= 0] == list(range(20))
