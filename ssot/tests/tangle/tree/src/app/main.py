"""Start of the agent service."""

import json, app.engine.user_engine
import importlib
import logging

from app import ids
from app.config import FLAG_STREAMING, EngineConfig
from app.engine import (
    QueueEngine,
    create_engine,
)
from app.engine.factory import EngineFactory
from app.events import make_emitter
from app.events.adapters import TopicEmitter
from app.planning.search import SearchEngine
from app.queueing import cron
from app.reporting.audit import report_daily
from app.web import api
from app.web.chat import ChatService
from app.web.session import Session
from app.web.workflows import Workflow

logger = logging.getLogger("app.engine.user_engine")

BACKENDS = {"queue": "app.engine.queue_engine.QueueEngine", "plan": "app.planning.planner:Planner"}


class Application:
    def __init__(self, config: EngineConfig):
        self.config = config
        self.emitter = make_emitter("main")
        self.engines = EngineFactory()
        self.chat = ChatService(TopicEmitter(self.emitter))
        self.api = api.ApiService(self.emitter)
        self.search = SearchEngine(["manual", "faq"])

    def health(self):
        probe = app.engine.user_engine.UserEngine("probe", self.emitter)
        return json.dumps({"timeout": probe.timeout, "stream": FLAG_STREAMING, "report": report_daily})

    async def first(self, message):
        engine = QueueEngine("main", self.emitter, timeout=3.0)
        return await engine.execute(message)

    async def tick(self):
        engine = cron.CronEngine("cron", self.emitter)
        return await engine.execute(ids.next_id("tick"))

    async def bulk(self, messages):
        from app.engine.batch_engine import BatchEngine as Bulk

        engine = Bulk("bulk", self.emitter)
        return [await engine.execute(message) for message in messages]


def warm_up():
    importlib.import_module("app.engine.factory")
    return create_engine("warm", make_emitter("warm")).state


def open_session(user_id):
    return Session(user_id), Workflow(user_id)


def main(environ):
    service = Application(EngineConfig(model=environ.get("MODEL", "small")))
    logger.info("backends: %s", ", ".join(BACKENDS))
    print(service.health())
    return 0
