import asyncio
from unittest.mock import patch

from app.engine.queue_engine import QueueEngine
from app.events.emitter import EventEmitter
from app.web.chat import ChatService
from app.web.session import Session


def test_answer():
    chat = ChatService(EventEmitter("chat"))
    assert asyncio.run(chat.answer("u", " hi ")) == "u: hi"
    assert chat.turns[0][1] == "done"


def test_queue(stub_emitter):
    engine = QueueEngine("q", stub_emitter, timeout=1.0)
    assert engine.timeout == 1.0
    assert engine.cancel() == "cancelled"


def test_stop_asks_the_engine():
    with patch("app.web.chat.QueueEngine") as engine:
        engine.return_value.cancel.return_value = "stopped"
        assert ChatService(EventEmitter("chat")).stop("u") == "stopped"


def test_stop_is_passed_on():
    with patch("app.engine.queue_engine.QueueEngine.cancel", return_value="patched"):
        assert ChatService(EventEmitter("chat")).stop("u") == "patched"


def test_adopt(monkeypatch, fake_engine):
    monkeypatch.setattr("app.engine.pool.PooledEngine.cancel", None)
    session = Session("u")
    asyncio.run(session.adopt(fake_engine, "hi"))
    assert session.replies == ["fake: hi"]
