"""Review of drafts."""

from app.engine.graph_engine import GraphEngine
from app.events import EventEmitter


async def review(text):
    engine = GraphEngine("review", EventEmitter("review"), graph="review")
    reply = await engine.execute(text)
    return {"reply": reply, "marks": engine.checkpoint()}
