"""Joins store, engine host, server and telemetry, and takes them apart in the right order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import BaseRoute

from goldenpath.compose.observing import observer_of
from goldenpath.compose.outgoing import Outgoing
from goldenpath.compose.stores import open_store
from goldenpath.compose.tokens import authenticator
from goldenpath.compose.upkeep import keep_up
from goldenpath.compose.webhook import Notifier, webhook_of
from goldenpath.config import Settings
from goldenpath.engine.definitions import AgentRegistry
from goldenpath.engine.host import EngineHost
from goldenpath.engine.ports import Clock
from goldenpath.model.ids import UserId
from goldenpath.server.app import Server, build_asgi, software_version
from goldenpath.server.auth import ApplicationUsers
from goldenpath.server.settings import ServerSettings
from goldenpath.telemetry.metrics import Metrics
from goldenpath.telemetry.watchdog import watched

Authenticate = Callable[[Request], Awaitable[UserId | str | None]]
"""An application's own way to say who asks; None is nobody (401)."""


@dataclass(frozen=True)
class Assembly:
    """What runs while an application runs."""

    host: EngineHost
    server: Server
    telemetry: Metrics

    async def metrics(self) -> bytes:
        """Render the metrics' page."""
        await self.telemetry.refresh(self.host)
        return self.telemetry.render()

    def unready(self) -> str | None:
        """Why no command can be taken now, in one line; None if it can."""
        if not self.host.accepting:
            return "shutting down"
        status = self.host.store.status()
        return None if status.writable else status.reason or "the store cannot write"

    async def finish(self, drain: float) -> None:
        """Accept no more commands, let runs end, say goodbye to every reader."""
        await self.host.drain(drain)
        await self.server.goodbye()


@asynccontextmanager
async def assembled(
    agents: AgentRegistry,
    settings: Settings,
    *,
    authenticate: Authenticate | None = None,
    extra_routes: Sequence[BaseRoute] = (),
    clock: Clock | None = None,
) -> AsyncGenerator[Assembly]:
    """Open everything that an application needs; close it in the reverse order."""
    auth = authenticator(settings) if authenticate is None else ApplicationUsers(authenticate)
    webhook = webhook_of(settings)
    store = await open_store(settings.store, settings.durability)
    try:
        telemetry = Metrics(store.stats)
        host = EngineHost(
            store,
            agents,
            limits=settings.limits,
            clock=clock,
            observer=observer_of(telemetry),
            name=settings.name or f"{socket.gethostname()}:{settings.port}",
            version=software_version(),
        )
        server = build_asgi(
            host, auth, ServerSettings(allow_origins=settings.allow_origin), extra_routes
        )
        async with host.running(), watched(settings.watchdog, telemetry.loop_blocked):
            tasks = {
                asyncio.create_task(keep_up(store, settings, host.clock), name="goldenpath-upkeep")
            }
            if webhook is not None:
                outgoing = Outgoing(webhook.url, allow_private=webhook.allow_private)
                notifier = Notifier(
                    webhook, outgoing.post, store, host.clock, host.ids, telemetry.webhook
                )
                tasks.add(asyncio.create_task(notifier.run(), name="goldenpath-webhook"))
            try:
                yield Assembly(host, server, telemetry)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
    finally:
        await store.close()
