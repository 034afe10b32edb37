from app.ids import token_id
from app.events.console import ConsoleEmitter


def test_token():
    assert token_id("a") == "a"


def test_console():
    console = ConsoleEmitter("tokens")
    console.emit("ping")
    assert console.events == [("ping", None)]
