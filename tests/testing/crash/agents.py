"""Agents for the crash test: each makes one mistake, or none."""

import asyncio
import os

from goldenpath import App, RunContext, ToolFailed, agent, tool

BEGAN = asyncio.Event()


@tool
async def pay(cents: int) -> int:
    await asyncio.sleep(0.01)
    return cents


@tool(on_ambiguous="user")
async def post(text: str) -> str:
    await asyncio.sleep(0.01)
    return text


@tool(approval=True, idempotent=True)
async def mail(text: str) -> str:
    return text


@agent("sound", tools=[mail, post])
async def sound(run: RunContext, message: str) -> str:
    """Waits for people and time, has a child, and takes care of what is not known."""
    await run.sleep(3600)
    child, other = await asyncio.gather(run.agent("child", message), run.agent("child", "second"))
    await run.call(mail, text=child)
    await run.approve("Go on?", expires=7200)
    try:
        await run.call(post, text=other)
    except ToolFailed as error:
        assert error.status == "interrupted"
    return child


@tool(idempotent=True)
async def note(text: str) -> str:
    await asyncio.sleep(0.01)
    return f"heard {text}"


@agent("child", tools=[note])
async def child(run: RunContext, message: str) -> str:
    await run.sleep(60)
    return await run.call(note, text=message)


@agent("teller")
async def teller(run: RunContext, message: str) -> str:
    """Says something else in each attempt."""
    await run.step("look", len, message)
    return f"attempt {run.attempt}"


@agent("heedless", tools=[pay])
async def heedless(run: RunContext, message: str) -> str:
    """Does not look at how a call failed."""
    return f"paid {await run.call(pay, cents=5)}"


@agent("forgetful")
async def forgetful(run: RunContext, message: str) -> str:
    """Waits for what only this process knows."""
    if run.attempt == 1:
        BEGAN.set()
    await run.think("waiting")
    await BEGAN.wait()
    return "done"


@agent("shuffled")
async def shuffled(run: RunContext, message: str) -> str:
    """Asks for its steps in another order, from parallel tasks."""
    order = ["a", "b"] if run.attempt == 1 else ["b", "a"]
    await asyncio.gather(*(run.step(name, len, name) for name in order))
    return "done"


@agent("gives_up", recover="fail", tools=[pay])
async def gives_up(run: RunContext, message: str) -> str:
    return f"paid {await run.call(pay, cents=5)}"


@agent("broken")
async def broken(run: RunContext, message: str) -> str:
    raise ValueError("no luck")


@agent("random")
async def random(run: RunContext, message: str) -> str:
    return os.urandom(4).hex()


app = App(agents=[sound, child, teller, heedless, forgetful, shuffled, gives_up, broken, random])
