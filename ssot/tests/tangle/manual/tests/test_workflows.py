import asyncio
from unittest.mock import patch

from app.engine.user_engine import UserEngine
from app.web.workflows import Workflow
from jobs.review import review


def test_start():
    assert asyncio.run(Workflow("flow").start(" hi ")) == ("flow: hi", True)


def test_abort():
    with patch("app.web.workflows.UserEngine") as engine:
        engine.return_value.cancel.return_value = "aborted"
        assert Workflow("flow").abort() == "aborted"


def test_review():
    assert asyncio.run(review("text"))["reply"] == "review: text"


def test_cancel(stub_emitter):
    engine = UserEngine("flow", stub_emitter)
    assert engine.cancel() == "cancelled"
