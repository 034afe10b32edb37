import asyncio

from app.engine.dry_run import DryRunEngine
from app.engine.factory import create_engine, pick_engine
from app.engine.queue_engine import QueueEngine
from app.events.emitter import EventEmitter
from app.main import Application, warm_up
from jobs.main import Worker, run
from jobs.nightly import backfill, run_nightly, run_weekly, wake


def test_dry_run(stub_emitter):
    engine = DryRunEngine("dry", stub_emitter)
    assert asyncio.run(engine.execute(" hi ")) == "dry: hi"
    assert engine.state == "done"


def test_same_answer():
    emitter = EventEmitter("t")
    engines = [QueueEngine("t", emitter), create_engine("t", emitter), pick_engine("batch", "t", emitter)]
    assert {asyncio.run(engine.execute("hi")) for engine in engines} == {"t: hi"}


def test_night():
    assert asyncio.run(run_nightly()) == "nightly: tidy up"
    assert asyncio.run(run_weekly(["a", "b"])) == ["weekly: a", "weekly: b", "idle"]
    assert asyncio.run(backfill("late")) == "backfill: late"
    assert wake("token") == "idle"


def test_worker():
    worker = Worker()
    assert asyncio.run(worker.drain(["a"])) == ["pooled: a"]
    assert asyncio.run(worker.repeat("b")) == "repeat: b"
    assert worker.announce("c") == 1
    assert asyncio.run(run("d"))[0] == "worker: d"


def test_application():
    service = Application(None)
    assert asyncio.run(service.first("a")) == "main: a"
    assert asyncio.run(service.tick()).startswith("cron: tick-")
    assert asyncio.run(service.bulk(["b"])) == ["bulk: b"]
    assert warm_up() == "idle"
