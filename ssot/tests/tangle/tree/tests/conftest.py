import pytest

from app.engine.base import EnginePort
from app.engine.user_engine import UserEngine as RealEngine
from app.events.emitter import EventEmitter


class FakeEngine:
    def __init__(self):
        self.messages = []

    async def execute(self, message):
        self.messages.append(message)
        return f"fake: {message}"

    def cancel(self):
        return "cancelled"


class SilentPort(EnginePort):
    def cancel(self):
        return "silent"


class StubEmitter(EventEmitter):
    def emit(self, kind, payload=None):
        self.events.append(kind)


class PaperEngine:
    def fold(self):
        return "plane"


@pytest.fixture
def fake_engine():
    return FakeEngine()


@pytest.fixture
def silent_port():
    return SilentPort()


@pytest.fixture
def stub_emitter():
    return StubEmitter()


@pytest.fixture
def real_engine():
    return RealEngine("real", EventEmitter("real"))


@pytest.fixture
def paper():
    return PaperEngine()
