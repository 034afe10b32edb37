"""Steps beneath app.engine.user_engine.UserEngine and its peers."""


class StepEngine:
    def __init__(self, user_id):
        self.user_id = user_id

    def reply(self, message):
        return f"{self.user_id}: {message.strip()}"


class TurnKernel:
    def __init__(self):
        self.turns = []
        self.stopped = False

    async def execute(self, message):
        self.turns.append(message)
        return len(self.turns)

    def cancel(self):
        self.stopped = True
        return len(self.turns)
