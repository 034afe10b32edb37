"""`App`: an application of agents, to be served or mounted."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from goldenpath.compose.assembly import Assembly, Authenticate, assembled
from goldenpath.compose.stores import check_url
from goldenpath.config import Settings, application_options, load_settings
from goldenpath.engine.definitions import Agent, AgentRegistry
from goldenpath.engine.ports import Clock
from goldenpath.errors import ConfigError, InvalidError, RefusedError
from goldenpath.model import commands
from goldenpath.model.commands import Receipt, WhenBusy
from goldenpath.model.ids import CommandId, ThreadId, UserId, is_client_id
from goldenpath.server.problems import MEDIA_TYPE, problem_body

logger = logging.getLogger("goldenpath")

NOT_RUNNING = (
    "goldenpath is not running: enter `async with app.running():` in the lifespan of the "
    "application that mounts it, or start it with `goldenpath serve`"
)


class App:
    """Agents with a store and a way to know users: what `goldenpath serve MODULE:APP` serves.

    `store` is a URL: `sqlite:///goldenpath.db` without, or `postgresql://...`, which several hosts
    can share. `authenticate` is an application's own way to tell the user of a request (None:
    nobody); without it tokens are checked as configured. `options` are other settings by their
    names, such as `durability="process"`, `limit_run="10m"` or `limit_runs_at_once=5`. Flags,
    environment and `goldenpath.toml` win over all of them. Raises `ConfigError` for what cannot
    work.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        *,
        store: str | None = None,
        authenticate: Authenticate | None = None,
        routes: Sequence[BaseRoute] = (),
        **options: Any,
    ) -> None:
        self.agents = AgentRegistry(agents)
        self.authenticate = authenticate
        self.routes = tuple(routes)
        self.options = application_options(options)
        if store is not None:
            check_url(store)
            self.options["store"] = store
        self._assembly: Assembly | None = None

    def asgi(self) -> ASGIApp:
        """The ASGI application: serve it with any server, or mount it below a path."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            # A function, since servers tell ASGI 3 from 2 by looking at it.
            await self._serve(scope, receive, send)

        return serve

    @asynccontextmanager
    async def running(
        self, settings: Settings | None = None, *, clock: Clock | None = None
    ) -> AsyncGenerator[Assembly]:
        """Run the engines until left: for the lifespan of the application that mounts this one.

        Without `settings` they are read from environment and `goldenpath.toml`. When left, runs
        may go on for `drain`; then they are handed over to the next start.
        """
        if self._assembly is not None:
            raise ConfigError("App: it is running already; enter running() once")
        if settings is None:
            settings = self.load_settings()
        async with assembled(
            self.agents,
            settings,
            authenticate=self.authenticate,
            extra_routes=self.routes,
            clock=clock,
        ) as assembly:
            self._assembly = assembly
            try:
                yield assembly
                await assembly.finish(settings.drain)
            finally:
                self._assembly = None

    def load_settings(self) -> Settings:
        """Read the settings of an application that no command started."""
        return load_settings(None, os.environ, application=self.options)

    async def send(
        self,
        *,
        user_id: str,
        text: str,
        thread_id: str | None = None,
        id: str | None = None,
        agent: str | None = None,
        when_busy: WhenBusy = "queue",
    ) -> Receipt:
        """Start work for a user from the product's own code, by the inbox that clients use.

        Returns the durable receipt (thread, message, run). The same `id` sent twice is one
        message, also after a restart; give one wherever the caller may try again. Raises
        `RefusedError` with a code of the protocol.
        """
        assembly = self._assembly
        if assembly is None:
            raise RefusedError("unavailable", NOT_RUNNING, retryable=True)
        if not user_id:
            raise InvalidError("user_id: must not be empty")
        command_id = assembly.host.ids.new() if id is None else id
        if not is_client_id(command_id):
            raise InvalidError(f"id: {command_id!r} is not 1 to 64 of A-Z a-z 0-9 _ -")
        command = commands.Send(
            thread_id=None if thread_id is None else ThreadId(thread_id),
            text=text,
            agent=agent,
            when_busy=when_busy,
        )
        settled = await assembly.host.submit(UserId(user_id), CommandId(command_id), command)
        return settled.receipt

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._assembly is not None:
            await self._assembly.server(scope, receive, send)
        else:
            logger.error(NOT_RUNNING)
            await _refuse(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Run by itself under a plain ASGI server, which reports why it could not start."""
        await receive()
        if self._assembly is not None:  # whoever serves runs us already
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        try:
            async with self.running():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 503 with the one clear error, to a request or to a socket before its upgrade."""
    status, body = problem_body(RefusedError("unavailable", NOT_RUNNING, retryable=True))
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1013})
            return
        kind = "websocket.http.response"
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
