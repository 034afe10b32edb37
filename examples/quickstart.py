"""An agent with one tool: GOLDENPATH_AUTH_SECRET=... goldenpath serve quickstart:app"""

from goldenpath import App, RunContext, agent, tool

PRICES = {"tea": 3.20, "coffee": 4.10, "water": 0.0}


@tool(idempotent=True, timeout=5, retries=2)
async def price(drink: str) -> float | None:
    """The price of a drink, or None for one that is not sold."""
    return PRICES.get(drink)


@agent("waiter", description="Knows what drinks cost.", tools=[price], version="1")
async def waiter(run: RunContext, message: str) -> str | None:
    """Name the price of the first drink in the message."""
    words = [word.strip(".,?!").lower() for word in message.split()]
    drink = next((word for word in words if word in PRICES), None)
    if drink is None:
        return f"I know the prices of {', '.join(PRICES)}."
    await run.think(f"Looking up {drink}")
    cost = await run.call(price, drink=drink)
    await run.write(f"One {drink} is ")
    await run.write(f"{cost:.2f}.")
    return None


app = App(agents=[waiter])
