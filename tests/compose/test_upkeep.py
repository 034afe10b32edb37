"""What ended long ago is pruned, and erased with its thread where a retention says so."""

from pathlib import Path

import pytest

from goldenpath.compose.upkeep import upkeep
from goldenpath.config import Settings
from goldenpath.model.ids import Seq, UserId
from goldenpath.store.interface import Store
from tests.cli.conftest import ended, running

WEEK_MS = 7 * 86_400_000


async def kinds(store: Store) -> set[str]:
    """Types of the events that are still there."""
    _, entries = await store.entries(UserId("ada"), Seq(0))
    return {entry.type for entry in entries if entry.json and not entry.internal}


@pytest.mark.anyio
async def test_pieces_go_after_a_week_and_threads_after_the_retention(tmp_path: Path) -> None:
    async with running(f"sqlite:///{tmp_path / 'users.db'}") as (app, assembly):
        store, clock = assembly.host.store, assembly.host.clock
        await ended(assembly, "ada", await app.send(user_id="ada", text="tea"))
        now = clock.now_ms()
        settings = Settings(retention=90 * 86400.0)
        await upkeep(store, settings, now + WEEK_MS - 60_000)
        assert "agent_output" in await kinds(store)
        await upkeep(store, settings, now + WEEK_MS + 60_000)
        left = await kinds(store)
        assert "agent_output" not in left
        assert {"message_received", "agent_completed"} <= left
        await upkeep(store, Settings(), now + 100 * WEEK_MS)
        assert "message_received" in await kinds(store)
        await upkeep(store, settings, now + 91 * 86_400_000)
        assert await kinds(store) == set()
        assert await store.threads(UserId("ada"), 9, None) == []
