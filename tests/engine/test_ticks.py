"""Callbacks that are called together: in order, each once, none in the way of another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from goldenpath.engine.ticks import TICK_SECONDS, Ticks

pytestmark = pytest.mark.anyio


async def test_what_is_asked_for_in_one_turn_is_called_in_one_turn_in_order() -> None:
    ticks, called = Ticks(), list[int]()
    for number in range(3):
        ticks.call_soon(lambda number=number: called.append(number))
    assert called == []
    await asyncio.sleep(0)
    assert called == [0, 1, 2]
    ticks.call_soon(lambda: called.append(3))
    await asyncio.sleep(0)
    assert called == [0, 1, 2, 3]


async def test_what_is_asked_for_while_they_are_called_is_called_in_the_next_turn() -> None:
    ticks, called = Ticks(), list[str]()

    def first() -> None:
        called.append("first")
        ticks.call_soon(lambda: called.append("second"))

    ticks.call_soon(first)
    await asyncio.sleep(0)
    assert called == ["first"]
    await asyncio.sleep(0)
    assert called == ["first", "second"]


async def test_a_tick_is_not_later_than_asked_and_is_shared() -> None:
    ticks, loop = Ticks(), asyncio.get_running_loop()
    turns: list[float] = []
    done = loop.create_future()
    handles: list[asyncio.TimerHandle] = []
    call_at = loop.call_at

    def counted(when: float, *args: Any, **more: Any) -> asyncio.TimerHandle:
        handles.append(call_at(when, *args, **more))
        return handles[-1]

    loop.call_at = counted  # type: ignore[method-assign]
    try:
        latest = loop.time() + 5 * TICK_SECONDS
        for _ in range(10):
            ticks.call_within(5 * TICK_SECONDS, lambda: turns.append(loop.time()))
        assert len(handles) <= 2  # one, or two where a tick began meanwhile
        assert handles[0].when() <= latest
        ticks.call_within(6 * TICK_SECONDS, lambda: done.set_result(None))
        await done
    finally:
        loop.call_at = call_at  # type: ignore[method-assign]
    assert len(turns) == 10


async def test_a_callback_that_fails_is_reported_and_the_others_are_called() -> None:
    ticks, called, loop = Ticks(), list[str](), asyncio.get_running_loop()
    reported: list[Any] = []
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))

    def fails() -> None:
        raise ValueError("no")

    ticks.call_soon(fails)
    ticks.call_soon(lambda: called.append("other"))
    await asyncio.sleep(0)
    assert called == ["other"]
    assert [str(error) for error in reported] == ["no"]
