"""Groups of questions: each is answered, whatever goes wrong with others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from goldenpath.errors import CodecError, StoreUnavailableError
from goldenpath.store.postgres.groups import Groups

pytestmark = pytest.mark.anyio


async def test_what_waits_while_one_is_under_way_goes_together() -> None:
    sent: list[list[int]] = []

    async def send(questions: Sequence[int]) -> list[int]:
        sent.append(list(questions))
        await asyncio.sleep(0)
        return [question * 2 for question in questions]

    groups = Groups[int, int](send)
    first = groups.ask(1)
    await asyncio.sleep(0)
    rest = [groups.ask(number) for number in (2, 3, 4)]
    assert await asyncio.gather(first, *rest) == [2, 4, 6, 8]
    assert sent == [[1], [2, 3, 4]]
    await groups.close()
    with pytest.raises(StoreUnavailableError):
        await groups.ask(5)


async def test_no_two_of_one_key_go_together_and_their_order_stays() -> None:
    sent: list[list[str]] = []

    async def send(questions: Sequence[str]) -> list[str]:
        sent.append(list(questions))
        return list(questions)

    groups = Groups[str, str](send, key=lambda question: question[0])
    await asyncio.gather(*(groups.ask(one) for one in ("a1", "a2", "b1", "a3")))
    assert sent == [["a1", "b1"], ["a2"], ["a3"]]
    await groups.close()


async def test_a_value_that_spoils_a_statement_fails_alone() -> None:
    async def send(questions: Sequence[int]) -> list[int]:
        if 2 in questions:
            raise CodecError("no")
        return list(questions)

    groups = Groups[int, int](send)
    answers = await asyncio.gather(*(groups.ask(n) for n in (1, 2, 3)), return_exceptions=True)
    assert answers[0] == 1 and isinstance(answers[1], CodecError) and answers[2] == 3
    await groups.close()


async def test_nobody_waits_for_ever_when_something_else_goes_wrong() -> None:
    asked = 0

    async def send(questions: Sequence[int]) -> list[int]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise CodecError("no")
        raise ZeroDivisionError

    groups = Groups[int, int](send)
    futures = [groups.ask(number) for number in (1, 2, 3)]
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*futures, return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
    await groups.close()
