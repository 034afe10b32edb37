"""Receipts of delivery: monotonic, few, never in a socket's way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from goldenpath.model.ids import DeviceId, Mark, Seq, UserId
from goldenpath.server.auth import SecretTokens
from goldenpath.server.receipts import Receipts
from goldenpath.server.service import Service
from goldenpath.server.settings import ServerSettings
from goldenpath.store.interface import Position
from tests.server.kit import SECRET, Site

pytestmark = pytest.mark.anyio
PHONE = DeviceId("phone")


def receipts_of(site: Site) -> Receipts:
    settings = ServerSettings(ack_seconds=3600)
    return Receipts(Service(site.host, SecretTokens(SECRET), settings, "1"), UserId("ada"))


async def test_of_many_acks_the_last_is_written_and_older_ones_are_passed_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    async def acknowledge(user: UserId, device: Any, position: Position, devices: int) -> None:
        written.append(position.cursor)
        await asyncio.sleep(0)

    monkeypatch.setattr(site.store.inner, "acknowledge", acknowledge)
    receipts = receipts_of(site)
    for cursor in (1, 5, 3):
        receipts.acknowledge(PHONE, Position(Mark("m"), Seq(cursor)))
    assert written == []
    receipts.sent_terminal(7)
    receipts.acknowledge(PHONE, Position(Mark("m"), Seq(7)))
    receipts.acknowledge(PHONE, Position(Mark("m"), Seq(8)))
    await receipts.close()
    assert written == [8]
    assert site.counting.delivered == 1


async def test_every_answer_that_an_ack_covers_is_counted_once(site: Site) -> None:
    await site.ask("x")
    head = await site.store.head(UserId("ada"))
    receipts = receipts_of(site)
    for seq in (2, 3, head.cursor):
        receipts.sent_terminal(seq)
    receipts.acknowledge(PHONE, Position(head.mark, Seq(3)))
    await receipts.close()
    assert site.counting.delivered == 2


async def test_a_store_that_is_away_costs_a_receipt_and_no_more(site: Site) -> None:
    await site.ask("x")
    head = await site.store.head(UserId("ada"))
    receipts = receipts_of(site)
    receipts.sent_terminal(2)
    site.store.away.add("acknowledge")
    receipts.acknowledge(PHONE, Position(head.mark, Seq(2)))
    await receipts.close()
    assert site.counting.delivered == 0
    site.store.away.clear()
    receipts.acknowledge(PHONE, head)
    await receipts.close()
    assert site.counting.delivered == 1
