"""Review of drafts."""

from app.engine.user_engine import UserEngine
from app.events.emitter import EventEmitter


async def review(text):
    emitter = EventEmitter("review")
    engine = UserEngine("review", emitter)
    reply = await engine.execute(text)
    return {"reply": reply, "marks": len(emitter.events)}
