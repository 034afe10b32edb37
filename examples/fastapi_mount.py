"""goldenpath inside a FastAPI application with sessions of its own: uvicorn fastapi_mount:web"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.requests import Request

from goldenpath import App, RunContext, agent

SESSIONS = {"session-of-ada": "ada", "session-of-bob": "bob"}


async def user_of(request: Request) -> str | None:
    """Tell the user of a request or a socket by the product's own cookie; None is nobody."""
    return SESSIONS.get(request.cookies.get("session", ""))


@agent("echo", description="Repeats what it is told.")
async def echo(run: RunContext, message: str) -> str | None:
    """Answer with the message."""
    return f"{run.user_id} said: {message}"


goldenpath = App(agents=[echo], store="sqlite:///mounted.db", authenticate=user_of)


@asynccontextmanager
async def lifespan(web: FastAPI) -> AsyncIterator[None]:
    """Run the engines as long as the application runs."""
    async with goldenpath.running():
        yield


web = FastAPI(lifespan=lifespan)


@web.post("/reminders/{user_id}")
async def remind(user_id: str) -> dict[str, str | None]:
    """Start work for a user from the product's own code."""
    receipt = await goldenpath.send(user_id=user_id, text="Time to drink water.")
    return {"run_id": receipt.run_id}


web.mount("/agents", goldenpath.asgi())
