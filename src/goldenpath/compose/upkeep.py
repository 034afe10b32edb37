"""Keeps the store small: prunes what ended long ago, and erases by age where told to."""

from __future__ import annotations

import asyncio
import logging

from goldenpath.config import Settings
from goldenpath.engine.ports import Clock
from goldenpath.errors import StoreError
from goldenpath.store.interface import Store

logger = logging.getLogger("goldenpath.upkeep")

UPKEEP_SECONDS = 600.0
"""Pause between two rounds."""
FIRST_SECONDS = 60.0
"""Before the first round: a start has better things to do."""
_BATCH = 100
_PAUSE_SECONDS = 0.05
"""Between two batches, so that appends come first."""


async def keep_up(store: Store, settings: Settings, clock: Clock) -> None:
    """Prune and erase for ever, a batch at a time; a store that is down is tried again later."""
    await asyncio.sleep(FIRST_SECONDS)
    while True:
        try:
            await upkeep(store, settings, clock.now_ms())
        except StoreError as error:
            logger.warning("upkeep is put off", extra={"reason": str(error)})
        except Exception:
            logger.exception("upkeep failed")
        await asyncio.sleep(UPKEEP_SECONDS)


async def upkeep(store: Store, settings: Settings, now_ms: int) -> int:
    """Do one round: pieces past `keep_pieces`, runs and threads past `retention`. How many."""
    done = await _prune(store, now_ms - round(settings.keep_pieces * 1000), everything=False)
    if settings.retention is not None:
        done += await _prune(store, now_ms - round(settings.retention * 1000), everything=True)
    # Also what users erased themselves leaves the files in the round after.
    await store.compact(locking=False)
    return done


async def _prune(store: Store, before_ms: int, *, everything: bool) -> int:
    done = 0
    while count := await store.prune(before_ms, everything=everything, limit=_BATCH):
        done += count
        await asyncio.sleep(_PAUSE_SECONDS)
    return done
