"""The demo's server, and the question that it asks itself over a real socket."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import anyio

from goldenpath.cli.output import print_line
from goldenpath.client import Client
from goldenpath.compose.app import App
from goldenpath.compose.serving import serve
from goldenpath.compose.tokens import mint
from goldenpath.config import Settings
from goldenpath.demo.agent import SHIPPED_DATA, build_agent
from goldenpath.demo.dataset import DatasetError, open_dataset
from goldenpath.demo.examples import examples
from goldenpath.demo.page import page_routes
from goldenpath.demo.tokens import token_route
from goldenpath.engine.definitions import Agent
from goldenpath.errors import ConfigError, StoreOpenError
from goldenpath.model.entries import TYPE_NAMES, Entry, format_time
from goldenpath.model.events import (
    AgentCompleted,
    AgentOutput,
    AgentStarted,
    AgentThinking,
    ToolCompleted,
    ToolExecuting,
)
from goldenpath.telemetry import logging as diagnostics

_USUAL_PORT = 8700
_ASKER = "demo"
_ANSWER_SECONDS = 60.0


def demonstrate(settings: Settings, data: Path | None, question: str | None, *, stays: bool) -> int:
    """Serve, ask, print; go on serving if it `stays` or on a terminal. Gives the exit code."""
    agent, fitting = _open(SHIPPED_DATA if data is None else data)
    app = App([agent], routes=[*page_routes(), token_route(settings)])
    diagnostics.configure("text", "warning")
    stays = stays or (sys.stdin.isatty() and sys.stdout.isatty())
    try:
        return anyio.run(_serve, app, settings, question or fitting, stays)
    except StoreOpenError as error:
        raise StoreOpenError(f"{error} (another XDG_STATE_HOME is another demo)") from None


def _open(data: Path) -> tuple[Agent, str]:
    """The agent over a file, and a question that the file can answer."""
    try:
        forms = examples(open_dataset(data).schema)
        return build_agent(data), forms.get("by group") or forms["count"]
    except DatasetError as error:
        raise ConfigError(f"--data: {error}") from None


async def _serve(app: App, settings: Settings, question: str, stays: bool) -> int:
    answered = False

    async def ready(url: str) -> bool:
        nonlocal answered
        with anyio.move_on_after(_ANSWER_SECONDS) as patience:
            answered = await _ask(url, settings, question)
        if patience.cancelled_caught:
            print_line(
                f"no answer within {_ANSWER_SECONDS:.0f} s; what became of the question: "
                f"goldenpath runs --store {settings.store}"
            )
        if stays:
            where = "" if settings.port == _USUAL_PORT else f" --url {url}"
            print_line(
                f"serving {url} until Ctrl-C; open it in a browser, or in a second terminal:"
            )
            print_line(f"    goldenpath chat{where}")
        return stays

    await serve(app, settings, ops=False, ready=ready)
    return 0 if answered else 1


async def _ask(url: str, settings: Settings, question: str) -> bool:
    """Ask over a socket as any client would; True if the answer came."""
    token = mint(settings, _ASKER, int(time.time()), _ANSWER_SECONDS)
    print_line(f"question: {question}")
    async with Client(url, token, device="demo") as client:
        sent = await client.send(question)
        async for entry in client.run(sent.run_id):
            if not isinstance(entry.body, AgentOutput):
                print_line(f"{entry.seq:>5} {format_time(entry.time_ms)[11:23]} {_describe(entry)}")
            if isinstance(entry.body, AgentCompleted):
                client.ack(entry.seq)
                for line in ("answer:", *entry.body.output.splitlines()):
                    print_line(line)
                return entry.body.status == "succeeded"
    return False


def _describe(entry: Entry) -> str:
    """One line for an event."""
    body, name = entry.body, TYPE_NAMES[type(entry.body)]
    match body:
        case AgentStarted():
            return f"{name:16} {body.agent} {body.version}"
        case AgentThinking():
            return f"{name:16} {body.text}"
        case ToolExecuting():
            return f"{name:16} {body.tool} {body.arguments}"
        case ToolCompleted():
            return f"{name:16} {body.tool} {body.status} in {body.duration_ms} ms"
        case AgentCompleted():
            return f"{name:16} {body.status} in {body.duration_ms} ms"
        case _:
            return name
