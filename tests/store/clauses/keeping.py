"""Keeping (B): backups, and disks that fail."""

from __future__ import annotations

import asyncio
import json

from goldenpath.errors import PositionError, StoreRefusedError, StoreUnavailableError
from goldenpath.model.ids import CommandId, Mark, RunId, Seq, UserId
from goldenpath.store.interface import Position
from tests.store.harness import (
    ADA,
    HOST,
    PHONE,
    STOP,
    USERS,
    Engine,
    Site,
    clause,
    created,
    raises,
    read_all,
    seen,
    submit,
)


@clause
async def b1_a_backup_is_one_moment(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.whole("r1")
    copy = site.path()

    async def go_on() -> None:
        for number in range(20):
            await engine.write(created(f"t{number}"))

    async with asyncio.TaskGroup() as group:
        group.create_task(go_on())
        group.create_task(store.backup(copy))
    restored = await site.restored(copy)
    entries = (await restored.entries(ADA, Seq(0)))[1]
    assert [e.seq for e in entries] == list(range(1, len(entries) + 1)) and len(entries) >= 7
    assert (await restored.run(ADA, RunId("r1"))) == await store.run(ADA, RunId("r1"))
    beyond = Position(Mark("m1"), Seq(len(entries) + 1))
    await raises(PositionError, restored.read(ADA, beyond))


@clause
async def b1_a_restored_store_is_another_log_from_there(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await submit(store, "waits")
    await engine.write(created("t"))
    await engine.whole("r1")
    await store.acknowledge(ADA, PHONE, Position(Mark("m1"), Seq(engine.head)))
    kept = engine.head
    await store.backup(site.path())
    await engine.whole("r2")
    restored = await site.restored(site.path())
    assert (await restored.read(ADA, Position(Mark("m1"), Seq(kept)))).events == []
    await raises(PositionError, restored.read(ADA, Position(Mark("m1"), Seq(kept + 1))))
    assert await restored.undelivered() == []
    assert [c.command_id for c in await restored.pending(ADA)] == ["waits"]
    await raises(StoreRefusedError, restored.append(engine.append(created("u"))))
    again = await Engine.begin(restored, mark="m2")
    assert again.activation.head == kept
    await again.whole("r3")
    await raises(PositionError, restored.read(ADA, Position(Mark("m1"), Seq(engine.head))))
    assert all(
        e["run_id"] != "r2" for b in await read_all(restored) for e in map(json.loads, b.events)
    )


@clause
async def b1_a_backup_of_many_users_while_they_write(site: Site) -> None:
    store = await site.open()
    engines = [await Engine.begin(store, user) for user in USERS]
    before: dict[UserId, int] = {}
    for engine in engines:
        await submit(store, "waits", user=engine.user)
        await engine.write(created("t"))
        await engine.whole("r")
        before[engine.user] = engine.head

    async def go_on(engine: Engine) -> None:
        for number in range(8):
            await engine.whole(f"r{number}")

    async with asyncio.timeout(STOP), asyncio.TaskGroup() as group:
        for engine in engines:
            group.create_task(go_on(engine))
        group.create_task(store.backup(site.path()))
    restored = await site.restored(site.path())
    assert await restored.users() == USERS
    for engine in engines:
        _, kept = await restored.entries(engine.user, Seq(0))
        _, known = await store.entries(engine.user, Seq(0))
        assert kept == known[: len(kept)] and len(kept) >= before[engine.user]
        open_runs = [row for _, row in await restored.runs(engine.user, None, 99) if row.open]
        assert len(open_runs) <= 1, "each append is there whole"
        pending = await restored.pending(engine.user)
        assert [c.command_id for c in pending] == [CommandId("waits")]
        activation = await restored.acquire(engine.user, HOST, Mark("other"))
        assert activation.head == len(kept)


@clause
async def b2_a_store_that_cannot_write_says_so_and_comes_back(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await site.fill_disk(store, True)
    append = engine.append(created("u", "x" * 200_000))
    await raises(StoreUnavailableError, store.append(append))
    await raises(StoreUnavailableError, submit(store, "a", b"x" * 200_000))
    assert not store.status().writable and store.status().reason
    assert len(await seen(store)) == 1
    await site.fill_disk(store, False)
    async with asyncio.timeout(20):
        while True:
            try:
                await store.append(append)
                break
            except StoreUnavailableError:
                await asyncio.sleep(0.05)
    assert store.status().writable
    store = await site.open()
    assert len(await seen(store)) == 2


@clause
async def b2_a_store_that_is_well_says_so(site: Site) -> None:
    store = await site.open()
    assert store.status().writable and store.status().reason is None
    await (await Engine.begin(store)).write(created())
    assert store.status().writable and store.status().reason is None
