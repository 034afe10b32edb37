"""What runs at night."""

import functools
import logging

from app.engine.compat import (
    BulkRunner,
    Engine,
)
from app.engine.conductor import (
    Conductor,
    plan_turn,
)
from app.engine.user_engine import UserEngine
from app.events.compat import Emitter, RedisEmitter

logger = logging.getLogger("app.events.emitter")

night_engine = functools.partial(UserEngine, "night", timeout=90.0)
night_emitter = functools.partial(Emitter, "night")


async def run_nightly():
    emitter = RedisEmitter("nightly")
    conductor = Conductor("nightly", emitter)
    return await conductor.execute(plan_turn(" tidy up "))


async def run_weekly(messages):
    bulk = BulkRunner("weekly", Emitter("weekly"))
    replies = [await bulk.execute(message) for message in messages]
    guest = Engine.for_guest(Emitter("guest"))
    return replies + [guest.state]


def wake(token):
    conductor = Conductor("wake", Emitter("wake"))
    try:
        conductor.resume(token)
    except AttributeError:
        pass
    return conductor.state


async def backfill(message):
    try:
        from app.queueing.cron import CronEngine
    except ImportError:
        return None
    engine = CronEngine("backfill", Emitter("backfill"))
    return await engine.execute(message)


def mirror(kind):
    try:
        from app.events.kafka import KafkaEmitter
    except Exception:
        logger.info("no mirror for %s", kind)
        return None
    return KafkaEmitter("mirror").emit(kind)


def mirror_now(kind):
    from app.events.kafka import KafkaEmitter

    return KafkaEmitter("mirror").emit(kind)
