"""Engine as it was in 2023."""

from enum import Enum


class OldAgentEvent(Enum):
    AGENT_STARTED = "agent_started"
    AGENT_COMPLETED = "agent_completed"
    AGENT_LOST = "agent_lost"


class UserEngine2023:
    def __init__(self, user_id, database):
        self.user_id = user_id
        self.database = database

    async def execute(self, message):
        self.database.insert({"event": "agent_started", "user": self.user_id})
        self.database.insert({"event": "agent_completed", "user": self.user_id})
        return message

    def cancel(self):
        self.database.rollback()


class ClassicEngine(UserEngine2023):
    rounds = 3

    def cancel(self):
        self.rounds = 0
