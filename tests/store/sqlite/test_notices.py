"""A claim sees what happens while it waits for what was settled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goldenpath.model.ids import Mark, RunId, Seq
from goldenpath.store.interface import Position
from goldenpath.store.sqlite import open_store
from tests.store.harness import ADA, HOUR, NOW, PHONE, Engine, created

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("how", ["acknowledged", "fetched", "erased"])
async def test_what_is_received_or_erased_during_a_claim_is_not_in_it(
    tmp_path: Path, how: str
) -> None:
    store = await open_store(tmp_path / "s.db", durability="process")
    try:
        engine = await Engine.begin(store)
        await engine.write(created("t"))
        await engine.whole("r1")
        readers: Any = store._readers
        ask = readers.run

        async def meanwhile(query: Any) -> Any:
            found = await ask(query)
            readers.run = ask
            if how == "acknowledged":
                head = Position(Mark("m1"), Seq(engine.head))
                await store.acknowledge(ADA, PHONE, head)
            elif how == "fetched":
                await store.fetched(ADA, [RunId("r1")])
            else:
                await engine.write(erase_user=True)
            return found

        await store._core.settler.settle_all()
        readers.run = meanwhile
        now = NOW + HOUR
        claim = await store.claim_notices(now, ended_after_ms=0, ended_before_ms=now)
        assert (claim.notices, claim.given_up) == ([], 0)
    finally:
        await store.close()
