import asyncio
from unittest.mock import patch

import pytest

from app.engine.base import EngineError
from app.engine.factory import create_engine, open_engine
from app.engine.user_engine import UserEngine
from app.events.emitter import EventEmitter

SOURCE = "src/app/engine/user_engine.py"


class TestUserEngine:
    def test_execute(self, real_engine):
        assert asyncio.run(real_engine.execute(" hi ")) == "real: hi"

    def test_empty_message(self, stub_emitter):
        with pytest.raises(EngineError):
            asyncio.run(UserEngine("u", stub_emitter).execute(""))

    def test_timeout(self, real_engine):
        assert real_engine.with_timeout(2).timeout == 2


def test_events(stub_emitter):
    engine = UserEngine("u", stub_emitter)
    asyncio.run(engine.execute("hi"))
    assert len(stub_emitter.events) == 5


def test_steps_are_used():
    engine = UserEngine("u", EventEmitter("u"))
    with patch("app.engine.steps.StepEngine.reply", return_value="patched"):
        assert asyncio.run(engine.execute("hi")) == "patched"


def test_factories(stub_emitter):
    assert create_engine("u", stub_emitter).user_id == "u"
    assert asyncio.run(open_engine("v")).state == "idle"


def test_close():
    engine = UserEngine("u", EventEmitter("u"))
    engine.close()
    assert engine.state == "closed"
