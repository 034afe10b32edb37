"""The simulated loop: time that passes for nothing, and the same order in every process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from tests.simulation.loop import SimulatedLoop


def simulated(work: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    """What a coroutine gives, and how many simulated seconds it took."""
    loop = SimulatedLoop(random.Random(3))
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work), loop.time()
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def running() -> SimulatedLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    return loop


def test_a_pause_takes_its_time_and_nothing_else_waits_for_it() -> None:
    async def work() -> list[float]:
        async def one(seconds: float) -> float:
            await running().pause(seconds)
            return running().time()

        return await asyncio.gather(one(3), one(1), asyncio.sleep(2, 2.0))

    ends, seconds = simulated(work())
    assert ends == [3, 1, 2] and seconds == 3


def test_a_pause_ends_when_its_task_is_cancelled_before_and_after_its_time() -> None:
    async def work() -> list[float]:
        loop = running()
        ends: list[float] = []

        async def patient() -> None:
            try:
                await loop.pause(10)
            finally:
                ends.append(loop.time())

        early, late = loop.create_task(patient()), loop.create_task(patient())
        loop.call_later(1, early.cancel)
        loop.call_later(10, late.cancel)
        loop.call_later(10, early.cancel)
        await asyncio.gather(early, late, return_exceptions=True)
        assert early.cancelled()
        return ends

    ends, seconds = simulated(work())
    assert ends == [1, 10] and 10 <= seconds < 10.1


def test_a_set_of_tasks_is_gone_through_in_an_order_that_every_process_repeats() -> None:
    async def work() -> list[int]:
        tasks = [running().create_task(asyncio.sleep(0)) for _ in range(50)]
        found = [task.number for task in {*reversed(tasks)}]
        await asyncio.gather(*tasks)
        return found

    numbers, _ = simulated(work())
    assert numbers == sorted(numbers)
    assert len(numbers) == 50


def test_tasks_that_have_not_ended_are_known_in_the_order_in_which_they_were_made() -> None:
    async def work() -> list[int]:
        loop = running()
        tasks = [loop.create_task(asyncio.sleep(number % 3)) for number in range(6)]
        await asyncio.sleep(1.5)
        left = [task.number for task in loop.tasks()]
        await asyncio.gather(*tasks)
        return left

    numbers, _ = simulated(work())
    assert numbers == [0, 3, 6]


def test_the_tasks_of_other_loops_are_known_as_before() -> None:
    simulated(asyncio.sleep(1))

    async def work() -> int:
        return len(asyncio.all_tasks())

    assert asyncio.run(work()) == 1
