"""Erases a user from a store whose server is stopped."""

from __future__ import annotations

from typing import Any, cast

from goldenpath.compose.stores import open_store, require_file, store_path
from goldenpath.engine.context import RunContext
from goldenpath.engine.definitions import AgentRegistry, agent
from goldenpath.engine.host import EngineHost
from goldenpath.errors import RunEndedError, StoreOpenError
from goldenpath.model.commands import Forget
from goldenpath.model.ids import CommandId, UserId
from goldenpath.store.interface import Store


class _WithoutDemand:
    """A store in which nobody waits, so that no other user's run begins meanwhile."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def demand(self, now_ms: int, limit: int = 1000) -> list[UserId]:
        """Nobody; see `Store.demand`."""
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@agent("erasing", description="Stands where a host wants an agent; no run of it begins.")
async def _erasing(run: RunContext, message: str) -> str | None:
    raise RunEndedError("the user is being erased")


async def erase_user(url: str, user: UserId) -> bool:
    """End the user's runs and erase everything; False if the store does not know the user.

    Raises `StoreOpenError` beside a running server, which can do it itself.
    """
    path = store_path(url)
    require_file(path)
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
        await store.compact()
        return True
    finally:
        await store.close()
