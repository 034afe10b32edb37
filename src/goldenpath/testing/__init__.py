"""For the tests of applications: agents by script, a clock by hand, a server that a test owns.

from goldenpath.testing import AppServer, FakeClock, ScriptedAgent

`pytest` finds the fixture `goldenpath_server` by itself. Names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goldenpath.testing.clock import FakeClock
    from goldenpath.testing.scripted import (
        Approve,
        AskAgent,
        Call,
        Fail,
        ScriptedAgent,
        Sleep,
        Think,
        Write,
    )
    from goldenpath.testing.server import Answer, AppServer

_HOMES = {
    "Answer": "server",
    "AppServer": "server",
    "Approve": "scripted",
    "AskAgent": "scripted",
    "Call": "scripted",
    "Fail": "scripted",
    "FakeClock": "clock",
    "ScriptedAgent": "scripted",
    "Sleep": "scripted",
    "Think": "scripted",
    "Write": "scripted",
}

__all__ = [
    "Answer",
    "AppServer",
    "Approve",
    "AskAgent",
    "Call",
    "Fail",
    "FakeClock",
    "ScriptedAgent",
    "Sleep",
    "Think",
    "Write",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'goldenpath.testing' has no attribute {name!r}")
    found = getattr(import_module(f"goldenpath.testing.{home}"), name)
    globals()[name] = found
    return found
