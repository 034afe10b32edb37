"""Two hosts on one database: leases that pass, news that arrive or are lost."""

from __future__ import annotations

import asyncio

import pytest

from goldenpath.errors import (
    CodecError,
    LeaseHeldError,
    PositionError,
    StoreRefusedError,
    StoreUnavailableError,
)
from goldenpath.model.events import ThreadUpdated
from goldenpath.model.ids import HostId, Mark, ThreadId, UserId
from goldenpath.store.interface import HostReport, LivingHost, Position, Pulse
from goldenpath.store.postgres import PostgresStore, news
from goldenpath.store.postgres.server import Server
from goldenpath.store.verify import verify
from tests.databases import Database
from tests.store.harness import (
    ADA,
    BOB,
    LATER,
    SECRET,
    Engine,
    created,
    opening,
    raises,
    read_all,
    submit,
)

pytestmark = pytest.mark.anyio

Stores = tuple[PostgresStore, PostgresStore]
ONE, TWO = HostId("one"), HostId("two")
REPORT = HostReport(name="a", engines=3)


async def renewed(store: PostgresStore, host: HostId, times: int) -> Pulse:
    pulse = Pulse()
    for _ in range(times):
        pulse = await store.renew(host, REPORT)
        await asyncio.sleep(0.06)  # a part of a lease: that is what is tried
    return pulse


async def engine(store: PostgresStore, host: HostId, mark: str) -> Engine:
    return Engine(store, ADA, await store.acquire(ADA, host, Mark(mark)))


async def test_a_host_that_renews_keeps_its_leases(stores: Stores) -> None:
    one, two = stores
    await one.renew(ONE, REPORT)
    await engine(one, ONE, "m1")
    for _ in range(8):
        await renewed(one, ONE, 1)
        pulse = await renewed(two, TWO, 1)
        await raises(LeaseHeldError, two.acquire(ADA, TWO, Mark("m2")))
    assert pulse.others == [LivingHost(ONE, REPORT)] and not pulse.found_dead
    assert pulse.now_ms is not None and pulse.now_ms > 1_700_000_000_000


async def test_a_silent_host_loses_them_after_a_lease_and_is_fenced(stores: Stores) -> None:
    one, two = stores
    await one.renew(ONE, REPORT)
    old = await engine(one, ONE, "m1")
    await old.write(created())
    await two.renew(TWO, REPORT)
    await raises(LeaseHeldError, two.acquire(ADA, TWO, Mark("m2")))
    pulses = [await renewed(two, TWO, 1) for _ in range(8)]
    assert [pulse.found_dead for pulse in pulses].count(True) == 1, "it is told once"
    assert pulses[-1].others == []
    new = await engine(two, TWO, "m2")
    assert new.head == 1
    await raises(StoreRefusedError, one.append(old.append(created("u"))))
    await new.write(created("v"))
    assert len(await read_all(one)) == 1 and (await one.head(ADA)).mark == "m2"


async def test_silence_of_the_database_is_nobodys_death(stores: Stores, one: Database) -> None:
    first, two = stores
    await first.renew(ONE, REPORT)
    await engine(first, ONE, "m1")
    await renewed(two, TWO, 4)
    one.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{one.name}' AND pid <> pg_backend_pid()"
    )
    assert await lost(two), "the beat meets the connection that is gone"
    await renewed(two, TWO, 3)
    await raises(LeaseHeldError, two.acquire(ADA, TWO, Mark("m2")))
    await renewed(two, TWO, 6)
    await two.acquire(ADA, TWO, Mark("m2"))


async def lost(store: PostgresStore) -> bool:
    try:
        await store.renew(TWO, REPORT)
    except StoreUnavailableError:
        return True
    return False


async def test_a_host_that_closes_is_not_waited_for(stores: Stores) -> None:
    one, two = stores
    await one.renew(ONE, REPORT)
    (view,) = await two.hosts()
    assert view.host == ONE
    await one.close()
    assert await two.hosts() == []


async def test_an_operator_asks_a_host_to_leave(stores: Stores) -> None:
    one, two = stores
    assert not (await one.renew(ONE, REPORT)).leave
    await two.ask_to_leave(ONE)
    assert not (await two.renew(TWO, REPORT)).leave
    assert (await one.renew(ONE, REPORT)).leave


class Heard:
    """What a host is told, and waits for."""

    def __init__(self, store: PostgresStore) -> None:
        self.users: list[UserId | None] = []
        self.told = asyncio.Event()
        store.on_news(self.tell)

    def tell(self, user: UserId | None) -> None:
        self.users.append(user)
        self.told.set()


async def seen_by_each_other(stores: Stores) -> None:
    for _ in range(2):
        for store, host in zip(stores, (ONE, TWO), strict=True):
            await store.renew(host, REPORT)
    for store in stores:  # both listen
        store._news.appended(BOB)
    await asyncio.sleep(0.3)


async def test_a_command_at_another_host_is_told_to_whoever_has_the_user(stores: Stores) -> None:
    one, two = stores
    await seen_by_each_other(stores)
    await engine(one, ONE, "m1")
    heard = Heard(one)
    await submit(two, "a")
    async with asyncio.timeout(2):
        await heard.told.wait()
    assert heard.users == [ADA]


async def test_who_is_given_back_and_waits_is_told_to_all(stores: Stores) -> None:
    one, two = stores
    await seen_by_each_other(stores)
    running = await engine(one, ONE, "m1")
    await running.write(created(), due_ms=0)
    heard = Heard(two)
    await one.release(ADA, running.activation.epoch)
    async with asyncio.timeout(2):
        await heard.told.wait()
    assert heard.users == [None]


async def test_a_lost_notification_costs_time_and_no_event(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is heard at all: what is new is found by looking."""
    one, two = stores
    monkeypatch.setattr(news.News, "_heard", lambda *_: None)
    monkeypatch.setattr(news, "_SCAN_SECONDS", 0.2)
    monkeypatch.setattr(news, "_SCAN_SECONDS_DEAF", 0.2)
    watch = two.watch(ADA)
    running = await engine(one, ONE, "m1")

    async def follow() -> None:
        while not await read_all(two):
            await watch.wait()

    following = asyncio.create_task(follow())
    for _ in range(2):  # it has looked, and found nothing
        await two._news._compare()
    await running.write(created())
    async with asyncio.timeout(8):
        await following
    watch.close()


async def test_one_users_unreadable_row_is_nobody_elses(one: Database, stores: Stores) -> None:
    first, two = stores
    ada, bob = await Engine.begin(first), await Engine.begin(first, BOB, "b1")
    await ada.write(created(), *opening("r1", "t", "hello"))
    for running in (ada, bob):
        await first.release(running.user, running.activation.epoch)
    one.sql("UPDATE goldenpath.runs SET body = 'nonsense'")
    answers = await asyncio.gather(
        two.acquire(ADA, TWO, Mark("x1")), two.acquire(BOB, TWO, Mark("x2")), return_exceptions=True
    )
    assert isinstance(answers[0], CodecError) and not isinstance(answers[1], BaseException)


async def test_a_position_is_asked_of_the_database_until_something_was_written_here(
    one: Database, stores: Stores
) -> None:
    """A failover may have lost the lease with what was before it."""
    first, _ = stores
    await first.renew(ONE, REPORT)
    await (await engine(first, ONE, "m1")).write(created("t"))
    again = await engine(first, ONE, "m2")
    one.sql("UPDATE goldenpath.users SET head = 0; DELETE FROM goldenpath.marks WHERE mark = 'm2'")
    await raises(PositionError, first.read(ADA, Position(Mark("m2"), again.head)))


async def test_who_waits_hears_that_the_log_was_set_back(one: Database, stores: Stores) -> None:
    """A failover that lost commits: a position beyond the head is not served from memory."""
    first, _ = stores
    await first.renew(ONE, REPORT)
    running = await engine(first, ONE, "m1")
    await running.write(created("t"))
    await running.write(created("u"))
    watch, position = first.watch(ADA), Position(Mark("m1"), running.head)
    one.sql(
        "DELETE FROM goldenpath.chunks WHERE last_seq = 2; UPDATE goldenpath.users SET head = 1"
    )
    async with asyncio.timeout(8):
        while True:
            await watch.wait()
            await first.renew(ONE, REPORT)  # nobody can have taken over: its own tail would do
            try:
                await first.read(ADA, position)
            except PositionError:
                break
    watch.close()


async def test_a_thread_that_another_host_erased_by_age_is_not_written_again(
    stores: Stores, one: Database
) -> None:
    first, two = stores
    mine = await engine(first, ONE, "m1")
    await mine.write(created("t", SECRET))
    await mine.whole("r1")
    assert await two.prune(LATER, everything=True) == 2
    await mine.ask("r2")  # with the row as the host knows it, or has found it not to be
    await mine.write(("t", None, ThreadUpdated(title="new", archived=False)), due_ms=0)
    for store in stores:
        assert await store.threads(ADA, 9, None) == [] and await verify(store) == []
    assert "0" == one.sql("SELECT count(*) FROM goldenpath.threads")


async def test_a_thread_that_is_used_while_it_waits_to_be_erased_stays(
    stores: Stores, one: Database
) -> None:
    first, two = stores
    mine = await engine(first, ONE, "m1")
    await mine.write(created())
    holder = await Server(one.url).connect()
    lock = holder.transaction()
    await lock.start()
    await holder.execute("SELECT 1 FROM goldenpath.users FOR NO KEY UPDATE")
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(mine.ask("r1", due_ms=0))
        await waiting(one, 1)
        erasing = group.create_task(two.prune(LATER, everything=True))
        await waiting(one, 2)
        await lock.rollback()
    await holder.close()
    assert erasing.result() == 0
    assert await two.thread(ADA, ThreadId("t")) is not None and await verify(two) == []


async def waiting(one: Database, count: int) -> None:
    """Until so many wait for a lock."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity"
        f" WHERE datname = '{one.name}' AND wait_event_type = 'Lock'"
    )
    while await asyncio.to_thread(one.sql, asked) != str(count):
        pass
