"""Agents of the simulated users: each does one kind of thing that can go wrong."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from goldenpath.engine.context import RunContext
from goldenpath.engine.definitions import Agent, AgentRegistry, ToolContext, agent, tool
from goldenpath.errors import ProviderUnavailableError, ToolFailedError
from goldenpath.model.ids import UserId


class Outside:
    """What happened outside of the process: no crash takes it back."""

    def __init__(self) -> None:
        self.entered: Counter[str] = Counter()
        """Bodies entered, by call id."""
        self.finished: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        """Times that a run's code was begun."""
        self.releases: dict[str, list[list[str]]] = {}
        """For each run and attempt, the order in which parallel tools came back."""
        self.memory: dict[str, set[str]] = {}
        """What each user's agents saw of questions: nobody else's."""


def talk(message: str) -> str:
    """What the talker answers."""
    return f"You said {message}, and here is a longer answer to it."


def nap(message: str) -> float:
    """Seconds: some are over before a slow database has heard that they began."""
    return (0.85, 0.9, 3.0)[sum(message.encode()) % 3]


class Stage:
    """With what the agents of the simulated history at hand work."""

    outside: Outside
    rng: random.Random
    """Of their delays."""
    entered: Callable[[UserId, str], None]
    """Told of each body that begins."""
    pause: Callable[[float], Awaitable[None]]
    """What passes time most cheaply."""


def build(
    outside: Outside,
    rng: random.Random,
    entered: Callable[[UserId, str], None],
    pause: Callable[[float], Awaitable[None]],
) -> AgentRegistry:
    """The agents, over one outside world; delays come from the seed.

    One history is simulated at a time, so they are defined once: reading their types and making
    schemas of them takes as long as a twentieth of a history.
    """
    _STAGE.outside, _STAGE.rng, _STAGE.entered, _STAGE.pause = outside, rng, entered, pause
    return _AGENTS


def _define(stage: Stage) -> AgentRegistry:
    async def body(context: ToolContext, seconds: float) -> None:
        stage.entered(context.user_id, context.call_id)
        stage.outside.entered[context.call_id] += 1
        await stage.pause(seconds * stage.rng.random())
        stage.outside.finished[context.call_id] += 1

    @tool(idempotent=True, retries=2)
    async def lookup(query: str, context: ToolContext) -> dict[str, Any]:
        await body(context, 0.2)
        return {"query": query, "token": "hunter2", "n": stage.outside.entered[context.call_id]}

    @tool
    async def charge(amount: int, context: ToolContext) -> int:
        await body(context, 0.3)
        return amount

    @tool(timeout=0.2)
    async def slow(context: ToolContext) -> str:
        stage.outside.entered[context.call_id] += 1
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(5)  # swallows its cancellation: will be abandoned
        return "late"

    @tool(approval=True)
    async def send_mail(to: str, context: ToolContext) -> str:
        await body(context, 0.1)
        return f"sent to {to}"

    def begin(run: RunContext, message: str) -> None:
        stage.outside.attempts[run.run_id] += 1
        stage.outside.memory.setdefault(run.user_id, set()).add(message)
        stage.outside.memory[run.user_id].update(m.text for m in run.history)

    async def write(run: RunContext, text: str) -> None:
        for start in range(0, len(text), 5):
            await run.write(text[start : start + 5])
            await stage.pause(0.01)

    @agent("talker")
    async def talker(run: RunContext, message: str) -> None:
        begin(run, message)
        await run.think("looking")
        await write(run, talk(message))

    @agent("worker", tools=[lookup, charge])
    async def worker(run: RunContext, message: str) -> str:
        begin(run, message)
        await run.think("working")
        found = await run.call(lookup, query=message)
        await write(run, f"Found {found['query']}. ")
        try:
            await run.call(charge, amount=3)
            await write(run, "Charged.")
        except ToolFailedError as error:
            await write(run, f"Not charged: {error.status}.")
        return f"Found {found['query']}. Done."

    @agent("parallel", tools=[lookup])
    async def parallel(run: RunContext, message: str) -> str:
        begin(run, message)
        order: list[str] = []
        stage.outside.releases.setdefault(run.run_id, []).append(order)

        async def one(number: int) -> int:
            result = await run.call(lookup, query=f"{message} {number}")
            order.append(str(number))
            return int(result["n"])

        same = [run.call(lookup, query=message) for _ in range(2)]
        await asyncio.gather(*same)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(number)) for number in range(4)]
        return f"{message}: {order} {len(tasks)}"

    @agent("waiter", tools=[send_mail])
    async def waiter(run: RunContext, message: str) -> str:
        begin(run, message)
        await write(run, "Waiting. ")
        await run.sleep(nap(message))
        try:
            sent = await run.call(send_mail, to=message)
        except ToolFailedError as error:
            sent = error.status
        decision = await run.approve("Go on?", expires=8.0)
        return f"{message}: {sent}, {decision.decision}"

    @agent("parent")
    async def parent(run: RunContext, message: str) -> str:
        begin(run, message)
        answers = await asyncio.gather(run.agent("worker", message), run.agent("sleeper", message))
        return " + ".join(answers)

    @agent("sleeper")
    async def sleeper(run: RunContext, message: str) -> str:
        begin(run, message)
        await run.sleep(nap(message))
        return f"slept over {message}"

    @agent("raiser", tools=[charge])
    async def raiser(run: RunContext, message: str) -> str:
        begin(run, message)
        await write(run, "This goes ")
        if "provider" in message:
            raise ProviderUnavailableError("down")
        raise ValueError("wrong")

    @agent("hanger", tools=[slow], deadline=1.5)
    async def hanger(run: RunContext, message: str) -> str:
        begin(run, message)
        try:
            await run.call(slow)
        except ToolFailedError:
            await write(run, "It was slow. ")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)
        return "never"

    @agent("silent")
    async def silent(run: RunContext, message: str) -> None:
        begin(run, message)

    @agent("impatient", tools=[lookup])
    async def impatient(run: RunContext, message: str) -> str:
        begin(run, message)
        try:
            async with asyncio.timeout(0.05):
                await run.call(lookup, query=message)
            heard = "an answer"
        except TimeoutError:
            heard = "nothing"
            await asyncio.sleep(0.4)  # longer than a body gets to stop
        await write(run, "I asked, and ")
        return f"I asked, and heard {heard} of {message}"

    async def same(text: str) -> str:
        await asyncio.sleep(0.05 * stage.rng.random())
        return text

    @agent("fickle")
    async def fickle(run: RunContext, message: str) -> str:
        begin(run, message)
        which = stage.outside.attempts[run.run_id] % 2
        await run.step(f"pick {which}", same, message)
        await asyncio.sleep(0.3)
        await write(run, f"{message}: {which}")
        return await run.step("say", same, f"{message}: {which}")

    agents: list[Agent] = [
        talker, worker, parallel, waiter, parent, sleeper, raiser, hanger, silent, fickle,
        impatient,
    ]  # fmt: skip
    return AgentRegistry(agents)


_STAGE = Stage()
_AGENTS = _define(_STAGE)
