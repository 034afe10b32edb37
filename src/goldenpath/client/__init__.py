"""Talks to a goldenpath server: sends, follows, resumes, and loses nothing on the way.

async with Client("http://127.0.0.1:8700", token) as client:
    sent = await client.send("average cost per model")
    async for event in client.run(sent.run_id):
        print(event.body)
"""

from goldenpath.client.answer import Answer
from goldenpath.client.backoff import Clock
from goldenpath.client.client import Client, Sent
from goldenpath.client.connection import State
from goldenpath.client.cursor import Counts, Position
from goldenpath.client.http import Api, History, MessageItem
from goldenpath.client.tokens import TokenSource
from goldenpath.errors import RefusedError, ResetError, StoppedError

__all__ = [
    "Answer",
    "Api",
    "Client",
    "Clock",
    "Counts",
    "History",
    "MessageItem",
    "Position",
    "RefusedError",
    "ResetError",
    "Sent",
    "State",
    "StoppedError",
    "TokenSource",
]
