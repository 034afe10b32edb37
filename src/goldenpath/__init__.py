"""A durable delivery engine for AI agents' answers.

from goldenpath import App, RunContext, agent, tool

Names are imported when first used, so that a client does not load the server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goldenpath.compose.app import App
    from goldenpath.engine.context import Approval, Message, RunContext
    from goldenpath.engine.definitions import Agent, Tool, ToolContext, agent, tool
    from goldenpath.engine.limits import Limits
    from goldenpath.errors import (
        ConfigError,
        GoldenpathError,
        InvalidError,
        RefusedError,
    )
    from goldenpath.errors import NondeterminismError as Nondeterminism
    from goldenpath.errors import NotReplayableError as NotReplayable
    from goldenpath.errors import ProviderUnavailableError as ProviderUnavailable
    from goldenpath.errors import RunEndedError as RunEnded
    from goldenpath.errors import ToolFailedError as ToolFailed

_HOMES = {
    "App": "compose.app:App",
    "Agent": "engine.definitions:Agent",
    "Approval": "engine.context:Approval",
    "ConfigError": "errors:ConfigError",
    "GoldenpathError": "errors:GoldenpathError",
    "InvalidError": "errors:InvalidError",
    "Limits": "engine.limits:Limits",
    "Message": "engine.context:Message",
    "Nondeterminism": "errors:NondeterminismError",
    "NotReplayable": "errors:NotReplayableError",
    "ProviderUnavailable": "errors:ProviderUnavailableError",
    "RefusedError": "errors:RefusedError",
    "RunContext": "engine.context:RunContext",
    "RunEnded": "errors:RunEndedError",
    "Tool": "engine.definitions:Tool",
    "ToolContext": "engine.definitions:ToolContext",
    "ToolFailed": "errors:ToolFailedError",
    "agent": "engine.definitions:agent",
    "tool": "engine.definitions:tool",
}

__all__ = [
    "Agent",
    "App",
    "Approval",
    "ConfigError",
    "GoldenpathError",
    "InvalidError",
    "Limits",
    "Message",
    "Nondeterminism",
    "NotReplayable",
    "ProviderUnavailable",
    "RefusedError",
    "RunContext",
    "RunEnded",
    "Tool",
    "ToolContext",
    "ToolFailed",
    "agent",
    "tool",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'goldenpath' has no attribute {name!r}")
    module, _, attribute = home.partition(":")
    found = getattr(import_module(f"goldenpath.{module}"), attribute)
    globals()[name] = found
    return found
