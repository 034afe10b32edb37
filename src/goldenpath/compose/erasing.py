"""Erases a user from outside of the servers."""

from __future__ import annotations

from typing import Any, cast

from msgspec.structs import replace

from goldenpath.compose.stores import is_postgres, open_store, require_file, store_path
from goldenpath.engine.context import RunContext
from goldenpath.engine.definitions import AgentRegistry, agent
from goldenpath.engine.host import EngineHost
from goldenpath.errors import RunEndedError, StoreOpenError
from goldenpath.model.commands import Forget
from goldenpath.model.ids import CommandId, HostId, UserId
from goldenpath.store.interface import HostReport, Pulse, Store


class _WithoutDemand:
    """A store in which nobody waits, so that no other user's run begins here meanwhile."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def demand(
        self, now_ms: int, limit: int = 1000, host: HostId | None = None
    ) -> list[UserId]:
        """Nobody; see `Store.demand`."""
        return []

    async def renew(self, host: HostId, report: HostReport) -> Pulse:
        """As a host that takes nobody up; see `Store.renew`."""
        return await self._store.renew(host, replace(report, draining=True))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@agent("erasing", description="Stands where a host wants an agent; no run of it begins.")
async def _erasing(run: RunContext, message: str) -> str | None:
    raise RunEndedError("the user is being erased")


async def erase_user(url: str, user: UserId) -> bool:
    """End the user's runs and erase everything; False if the store does not know the user.

    Raises `StoreOpenError` beside a running server of a file, which can do it itself. Of servers
    that share a database whoever has the user does it.
    """
    if not is_postgres(url):
        require_file(store_path(url))
    try:
        store = await open_store(url, "full")
    except StoreOpenError as error:
        raise StoreOpenError(
            f"{error}. If its server runs, ask it: DELETE /v1/me with a token of {user!r} "
            "(goldenpath token USER)"
        ) from None
    try:
        if (await store.head(user)).cursor == 0 and not await store.pending(user):
            return False
        host = EngineHost(cast("Store", _WithoutDemand(store)), AgentRegistry([_erasing]))
        async with host.running():
            await host.submit(user, CommandId(host.ids.new()), Forget())
        # A database's tables are written anew by `goldenpath compact` alone: as their owner, and
        # at a time that its operator chooses.
        await store.compact(locking=not is_postgres(url))
        return True
    finally:
        await store.close()
