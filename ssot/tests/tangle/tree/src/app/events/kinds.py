"""What happens while an agent works."""

from dataclasses import dataclass
from enum import Enum


class AgentEvent(str, Enum):
    AGENT_STARTED = "agent_started"
    AGENT_THINKING = "agent_thinking"
    TOOL_EXECUTING = "tool_executing"
    TOOL_COMPLETED = "tool_completed"
    AGENT_COMPLETED = "agent_completed"


@dataclass(frozen=True)
class AgentStarted:
    user_id: str


@dataclass(frozen=True)
class ToolCompleted:
    result: str


TOOL_EVENTS = frozenset({"tool_executing", "tool_completed"})
RECORDED = (AgentStarted, ToolCompleted)
FINAL = ["agent_completed", "agent_failed"]
BUSY: tuple = (AgentEvent.AGENT_THINKING, AgentEvent.TOOL_EXECUTING)


class AgentNotifier:
    def __init__(self, emitter):
        self._emitter = emitter

    def notify_agent_started(self, payload):
        self._emitter.emit(AgentEvent.AGENT_STARTED, payload)

    def notify_tool_executing(self, payload):
        self._emitter.emit(AgentEvent.TOOL_EXECUTING, payload)

    def notify_agent_completed(self, payload):
        self._emitter.emit(AgentEvent.AGENT_COMPLETED, payload)
