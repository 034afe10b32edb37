"""An answer that nobody received is told of: signed, once for all hosts, until it is taken."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from goldenpath import App, RunContext, agent
from goldenpath.compose import outgoing
from goldenpath.compose.outgoing import Outgoing
from goldenpath.compose.webhook import GIVE_UP_MS, Notifier, webhook_of
from goldenpath.config import Settings
from goldenpath.engine.ports import SystemIds
from goldenpath.errors import ConfigError, StoreUnavailableError
from goldenpath.model import events
from goldenpath.model.ids import Mark, RunId, Seq, ThreadId, UserId
from goldenpath.store import postgres
from goldenpath.store.interface import NOTICE_FIRST_MS, Position, Store
from goldenpath.testing import FakeClock
from goldenpath.testing.memory_disk import Disk
from goldenpath.testing.memory_store import MemoryStore
from tests.compose.receiver import Got, Receiver, receiving
from tests.databases import database, drop, versions
from tests.store.harness import ADA, NOW, PHONE, Engine, created

pytestmark = pytest.mark.anyio

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
AFTER = 300
SOON = AFTER + 1


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


class Host:
    """A host's sender, whose rounds a test asks for, on a clock that a test moves."""

    def __init__(self, store: Store, receiver: Receiver, clock: FakeClock, **options: Any) -> None:
        self.clock = clock
        self.counts: Counter[str] = Counter()
        settings = Settings(
            webhook_url=receiver.url,
            webhook_secret=SECRET,
            webhook_after=float(AFTER),
            webhook_allow_private="yes",
        )
        webhook = webhook_of(settings)
        assert webhook is not None
        self._sender = Notifier(
            webhook,
            Outgoing(webhook.url, allow_private=options.pop("allow_private", True)).post,
            store,
            clock,
            SystemIds(),
            self._count,
        )

    def _count(self, outcome: str, count: int) -> None:
        self.counts[outcome] += count

    async def round(self, later: float = 0) -> None:
        self.clock.advance(later)
        await self._sender.round()


async def answered(store: Store, *runs: str) -> Engine:
    """A user with answers that nobody has received."""
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    for run in runs:
        await engine.whole(run, text="a question in confidence")
    return engine


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def store(disk: Disk) -> MemoryStore:
    return MemoryStore(disk)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


def verified(got: Got, now_s: int) -> dict[str, Any]:
    """As Standard Webhooks says that a receiver does it; gives the message."""
    content = b".".join(
        (got.headers["webhook-id"].encode(), got.headers["webhook-timestamp"].encode(), got.body)
    )
    wanted = base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"].split(" ") == [f"v1,{wanted}"]
    assert abs(int(got.headers["webhook-timestamp"]) - now_s) <= 5
    assert got.headers["content-type"] == "application/json"
    return json.loads(got.body)


async def test_it_is_signed_and_says_which_answer_and_no_text(
    store: MemoryStore, receiver: Receiver, clock: FakeClock
) -> None:
    await answered(store, "r1")
    host = Host(store, receiver, clock)
    await host.round(AFTER - 1)
    assert receiver.got == []
    await host.round(2)
    (got,) = receiver.got
    assert got.path == "/hook?key=of-the-receiver"
    row = await store.run(ADA, RunId("r1"))
    assert row is not None
    assert verified(got, clock.now_ms() // 1000) == {
        "type": "answer.undelivered",
        "timestamp": "2023-11-14T22:18:20.007Z",
        "data": {
            "user_id": "ada",
            "thread_id": "t",
            "run_id": "r1",
            "agent": "worker",
            "status": "succeeded",
            "ended": "2023-11-14T22:13:20.007Z",
        },
    }
    assert row.text.encode() not in got.body
    assert b"answer" not in got.body.replace(b"answer.undelivered", b"")
    await host.round(86_400)
    assert len(receiver.got) == 1
    assert host.counts == {"delivered": 1}


async def test_what_is_not_taken_is_told_again_with_longer_pauses(
    store: MemoryStore, receiver: Receiver, clock: FakeClock
) -> None:
    await answered(store, "r1")
    receiver.answer(500, 404, 302, 503, 500, 500, 500, 500, 500, 200)
    host = Host(store, receiver, clock)
    await host.round(SOON)
    pauses = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    for number, pause in enumerate(pauses, 1):
        await host.round(pause - 1)
        assert len(receiver.got) == number, "not before its pause"
        await host.round(pause / 2 + 1)  # the jitter's most
        assert len(receiver.got) == number + 1
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert len({got.body for got in receiver.got}) == 1
    assert host.counts == {"failed": 9, "delivered": 1}
    for got in receiver.got[-1:]:
        verified(got, clock.now_ms() // 1000)


async def test_a_crash_before_it_is_noted_repeats_it_under_the_same_id(
    disk: Disk, receiver: Receiver, clock: FakeClock
) -> None:
    class Dies(MemoryStore):
        async def notified(self, user: UserId, run_id: RunId) -> None:
            raise StoreUnavailableError("the process is killed here")

    await answered(MemoryStore(disk), "r1")
    await Host(Dies(disk), receiver, clock).round(SOON)
    next_host = Host(MemoryStore(disk), receiver, clock)
    await next_host.round()
    assert len(receiver.got) == 1
    await next_host.round(46)
    await next_host.round(86_400)
    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


async def test_two_hosts_tell_each_answer_once(
    disk: Disk, receiver: Receiver, clock: FakeClock
) -> None:
    await answered(MemoryStore(disk, lease_seconds=3), *(f"r{n}" for n in range(40)))
    hosts = [Host(MemoryStore(disk, lease_seconds=3), receiver, clock) for _ in range(2)]
    clock.advance(SOON)
    await asyncio.gather(*(host.round() for host in hosts))
    assert len({got.headers["webhook-id"] for got in receiver.got}) == len(receiver.got) == 40
    assert all(host.counts["delivered"] for host in hosts)


@pytest.mark.parametrize("version", versions())
async def test_two_hosts_on_one_database_tell_each_answer_once(
    version: int, receiver: Receiver, clock: FakeClock
) -> None:
    shared = await asyncio.to_thread(database, version)
    stores = [await postgres.open_store(shared.url) for _ in range(2)]
    try:
        await answered(stores[0], *(f"r{n}" for n in range(40)))
        hosts = [Host(store, receiver, clock) for store in stores]
        clock.advance(SOON)
        await asyncio.gather(*(host.round() for host in hosts))
        ids = {got.headers["webhook-id"] for got in receiver.got}
        assert len(ids) == len(receiver.got) == 40
        await asyncio.gather(*(host.round(86_400) for host in hosts))
        assert len(receiver.got) == 40
    finally:
        for store in stores:
            await store.close()
        await asyncio.to_thread(drop, shared)


async def test_an_answer_received_in_time_is_not_told_of(
    store: MemoryStore, receiver: Receiver, clock: FakeClock
) -> None:
    engine = await answered(store, "r1")
    await store.acknowledge(ADA, PHONE, Position(Mark("m1"), Seq(engine.head)))
    await engine.whole("r2")
    await store.fetched(ADA, [RunId("r2")])
    await Host(store, receiver, clock).round(SOON)
    assert receiver.got == []


async def test_one_received_between_two_attempts_is_not_told_again(
    store: MemoryStore, receiver: Receiver, clock: FakeClock
) -> None:
    engine = await answered(store, "r1")
    receiver.answer(500)
    host = Host(store, receiver, clock)
    await host.round(SOON)
    await store.acknowledge(ADA, PHONE, Position(Mark("m1"), Seq(engine.head)))
    await host.round(86_400)
    assert len(receiver.got) == 1


async def test_of_an_erased_user_nothing_is_told(
    store: MemoryStore, receiver: Receiver, clock: FakeClock
) -> None:
    engine = await answered(store, "r1", "r2")
    receiver.answer(500)
    host = Host(store, receiver, clock)
    await host.round(SOON)
    assert len(receiver.got) == 2
    await engine.write(("t", None, events.ThreadDeleted()), erase_threads=[ThreadId("t")])
    await engine.write(erase_user=True)
    await host.round(86_400)
    assert len(receiver.got) == 2


async def test_a_receiver_that_is_gone_is_left_alone_until_a_restart(
    store: MemoryStore, receiver: Receiver, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    await answered(store, "r1", "r2")
    receiver.answer(410)
    host = Host(store, receiver, clock)
    await host.round(SOON)
    await host.round(86_400)
    assert len(receiver.got) == 2
    assert host.counts == {"gone": 2}
    assert [r.levelname for r in caplog.records if "410" in r.message] == ["ERROR"]
    assert "of-the-receiver" not in caplog.text
    receiver.answer(200)
    await Host(store, receiver, clock).round()
    assert len(receiver.got) == 4


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_receiver_that_asks_for_time_gets_it(
    store: MemoryStore, receiver: Receiver, clock: FakeClock, status: int, form: str
) -> None:
    await answered(store, "r1")
    until = formatdate(clock.now_ms() / 1000 + SOON + 600, usegmt=True)
    receiver.answer((status, {"retry-after": "600" if form == "seconds" else until}), 200)
    host = Host(store, receiver, clock)
    await host.round(SOON)
    await host.round(598)  # its own pause is over long since
    assert len(receiver.got) == 1
    await host.round(3)
    assert len(receiver.got) == 2


@pytest.mark.parametrize("asked", ["99999999", "-5", "soon", "", "0", "1e3", "٣"])
async def test_a_receiver_may_ask_for_an_hour_at_most(
    store: MemoryStore, receiver: Receiver, clock: FakeClock, asked: str
) -> None:
    await answered(store, "r1")
    receiver.answer((429, {"retry-after": asked.encode().decode("latin-1")}), 200)
    host = Host(store, receiver, clock)
    await host.round(SOON)
    await host.round(3601)
    assert len(receiver.got) == 2


async def test_a_receiver_that_is_down_is_not_flooded(
    store: MemoryStore, receiver: Receiver, clock: FakeClock
) -> None:
    await answered(store, *(f"r{n}" for n in range(30)))
    receiver.answer(500)
    host = Host(store, receiver, clock)
    await host.round(SOON)
    assert len(receiver.got) == 8
    receiver.answer(200)
    await host.round()
    assert len(receiver.got) == 30
    await host.round(46)
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 30
    assert host.counts == {"failed": 8, "delivered": 30}


async def test_after_three_days_it_is_given_up_visibly(
    store: MemoryStore, receiver: Receiver, clock: FakeClock
) -> None:
    await answered(store, "r1")
    receiver.answer(500)
    host = Host(store, receiver, clock)
    await host.round(SOON)
    await host.round(GIVE_UP_MS / 1000 - 10)
    assert len(receiver.got) == 2
    for _ in range(3):
        await host.round(3600)
    assert len(receiver.got) == 2
    assert host.counts == {"failed": 2, "given_up": 1}


async def test_a_private_address_is_refused_and_counted(
    store: MemoryStore, receiver: Receiver, clock: FakeClock
) -> None:
    await answered(store, "r1")
    host = Host(store, receiver, clock, allow_private=False)
    await host.round(SOON)
    assert receiver.got == []
    assert host.counts == {"blocked": 1}


async def test_a_redirect_is_refused(
    store: MemoryStore, receiver: Receiver, clock: FakeClock
) -> None:
    await answered(store, "r1")
    receiver.answer((307, {"location": f"http://127.0.0.1:{receiver.port}/elsewhere"}))
    host = Host(store, receiver, clock)
    await host.round(SOON)
    assert [got.path for got in receiver.got] == ["/hook?key=of-the-receiver"]
    assert host.counts == {"failed": 1}


@agent("echo")
async def echo(run: RunContext, message: str) -> str | None:
    """Say it again."""
    return message


async def test_an_application_with_a_url_tells_by_itself(
    tmp_path: Path, receiver: Receiver
) -> None:
    """And one that received its answer is not in it."""
    clock = FakeClock()
    app = App([echo])
    settings = Settings(
        store=f"sqlite:///{tmp_path / 'users.db'}",
        auth_secret="x" * 32,
        webhook_url=receiver.url,
        webhook_secret=SECRET,
        webhook_after=1.0,
        webhook_allow_private="yes",
    )
    async with app.running(settings, clock=clock) as assembly:
        store = assembly.host.store
        sent: dict[str, str] = {}
        for user in ("ada", "bob"):
            receipt = await app.send(user_id=user, text="a secret")
            assert receipt.run_id is not None
            watch = store.watch(UserId(user))
            while (await store.run(UserId(user), receipt.run_id)).open:  # type: ignore[union-attr]
                await watch.wait()
            watch.close()
            sent[user] = receipt.run_id
        await store.fetched(UserId("bob"), [RunId(sent["bob"])])
        clock.advance(2)
        (got,) = await asyncio.to_thread(receiver.wait_for, 1)
        assert verified(got, clock.now_ms() // 1000)["data"]["run_id"] == sent["ada"]
        page = ""
        while 'outcome="delivered"} 1.0' not in page:
            page = (await assembly.metrics()).decode()
            await asyncio.sleep(0)
    assert "webhook" not in {task.get_name() for task in asyncio.all_tasks()}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"webhook_secret": None}, "GOLDENPATH_WEBHOOK_SECRET: not set"),
        ({"webhook_secret": "hush"}, "GOLDENPATH_WEBHOOK_SECRET: (hidden)"),
        (
            {"webhook_secret": base64.b64encode(KEY).decode()},
            "(hidden) cannot be used; give whsec_",
        ),
        ({"webhook_secret": "whsec_" + base64.b64encode(KEY[:23]).decode()}, "24 to 64 bytes"),
        ({"webhook_secret": "whsec_" + base64.b64encode(bytes(65)).decode()}, "24 to 64 bytes"),
        ({"webhook_secret": "whsec_!!!"}, "openssl rand -base64 32"),
        ({"webhook_url": "hooks.example/hush"}, "webhook-url: (hidden) is no address"),
        ({"webhook_url": "https:///hush"}, "is no address"),
        ({"webhook_url": "https://a.example:99999/hush"}, "is no address"),
        ({"webhook_url": "https://a.example/\nhush"}, "is no address"),
        ({"webhook_url": "ftp://a.example/hush"}, "is no address"),
        ({"webhook_url": "https://me:hush@a.example/"}, "without"),
        ({"webhook_url": "https://a.example/#hush"}, "without"),
        ({"webhook_url": "http://a.example/hush"}, "--webhook-allow-private yes"),
    ],
)
async def test_what_cannot_work_is_one_line_at_the_start(
    changes: dict[str, str | None], said: str, tmp_path: Path
) -> None:
    """Nothing of a value that may hold a secret is shown."""
    values: dict[str, Any] = {"webhook_url": "https://a.example/", "webhook_secret": SECRET}
    with pytest.raises(ConfigError) as caught:
        async with App([echo]).running(
            Settings(
                store=f"sqlite:///{tmp_path / 'users.db'}",
                auth_secret="x" * 32,
                **{**values, **changes},
            )
        ):
            pass
    assert said in str(caught.value)
    assert "hush" not in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_attempt_ends_before_the_next_may_begin() -> None:
    """Else two hosts could be at the same answer, and neither has died."""
    assert outgoing.SECONDS * 1000 <= NOTICE_FIRST_MS / 2


def test_keys_of_all_lengths_are_taken() -> None:
    for length in (24, 32, 64):
        key = random.Random(length).randbytes(length)
        secret = "whsec_" + base64.b64encode(key).decode()
        webhook = webhook_of(Settings(webhook_url="https://a.example/h", webhook_secret=secret))
        assert webhook is not None and webhook.key == key
    assert webhook_of(Settings(webhook_secret=SECRET)) is None
