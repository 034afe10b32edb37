"""Two agents that take an order: one that a crash betrays, and one that it cannot.

goldenpath crash-test order_desk:app
"""

import asyncio
import random

from goldenpath import App, RunContext, ToolContext, ToolFailed, agent, tool


@tool
async def charge(cents: int) -> str:
    """Charge the customer's card."""
    await asyncio.sleep(0.01)  # the card company's answer
    return f"{cents / 100:.2f} paid"


@tool(idempotent=True)
async def charge_once(context: ToolContext, cents: int) -> str:
    """The same, with the call's id as the key that the card company knows a repetition by."""
    await asyncio.sleep(0.01)
    return f"{cents / 100:.2f} paid"


@tool(idempotent=True)
async def reserve(order: int, item: str) -> str:
    """Put an item aside; asked twice for one order, it does it once."""
    return f"{item} put aside"


def new_number() -> int:
    """A number for an order."""
    return random.randrange(1000, 10_000)


@agent("careless", description="Works, until its process dies.", tools=[charge, reserve])
async def careless(run: RunContext, message: str) -> str:
    """On replay the number is another one, and a payment that was perhaps made is made again."""
    order = new_number()
    try:
        paid = await run.call(charge, cents=420)
    except ToolFailed:
        paid = await run.call(charge, cents=420)
    kept = await run.call(reserve, order=order, item="tea")
    return f"{paid}, {kept}."


@agent("careful", description="A crash changes nothing.", tools=[charge_once, reserve])
async def careful(run: RunContext, message: str) -> str:
    """What may differ is a step, and what must not happen twice has a key."""
    order = await run.step("order number", new_number)
    paid = await run.call(charge_once, cents=420)
    kept = await run.call(reserve, order=order, item="tea")
    return f"{paid}, {kept}."


app = App(agents=[careless, careful])
