from app.events.adapters import AuditEmitter
from app.events.emitter import EventEmitter
from app.events.factory import make_emitter
from app.events.memory import MemoryEmitter
from app.web.session import Session


class NullEmitter:
    def emit(self, kind, payload=None):
        return None

    def subscribe(self, handler):
        return None


def test_subscribe():
    seen = []
    emitter = EventEmitter("t")
    emitter.subscribe(lambda kind, payload: seen.append(kind))
    emitter.emit("ping")
    assert seen == ["ping"]


def test_flush():
    emitter = make_emitter("t")
    emitter.emit("ping", 1)
    assert emitter.flush() == 1


def test_memory():
    memory = MemoryEmitter("t")
    memory.emit("ping", 2)
    assert memory.events == [("ping", 2)]


def test_trim():
    audit = AuditEmitter("t")
    audit.emit("ping", NullEmitter().emit("x"))
    assert audit.trimmed() == [("ping", None)]


def test_session(monkeypatch):
    monkeypatch.setattr("app.events.emitter.DEFAULT_SOURCE", "test")
    heard = []
    session = Session("u")
    session.listen(lambda kind, payload: heard.append(payload))
    assert session.ping() == 1
    assert heard == ["u"]
