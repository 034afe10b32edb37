"""`goldenpath chat`: a terminal client, or for programs one question a line.

On a terminal Ctrl-C cancels the run, and once more leaves. Otherwise questions are lines of the
standard input, answers go to the standard output and everything else to standard error; the exit
code is 1 if a run did not succeed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import signal
import sys
from collections.abc import Callable, Mapping

import httpx

from goldenpath.cli.chat_view import InputLines, PlainView, View, clean, show_call, terminal_view
from goldenpath.client import Answer, Client, History, State, TokenSource
from goldenpath.client.backoff import Backoff
from goldenpath.client.http import base_url, is_loopback, refusal
from goldenpath.errors import ConfigError, RefusedError, ResetError, StoppedError
from goldenpath.model.entries import Entry
from goldenpath.model.events import (
    AgentCompleted,
    AgentOutput,
    AgentResumed,
    AgentThinking,
    ApprovalRequested,
    ApprovalResolved,
    RunQueued,
    ToolCompleted,
    ToolExecuting,
    ToolProgress,
)

DEFAULT_URL = "http://127.0.0.1:8700"
CAUGHT_UP = 6
"""Messages of the thread that are shown at the start."""
MOST_TRIES = 3
"""To read the history of a server that answers, but not that; then the chat begins without."""
PATIENCE_SECONDS = 30.0
"""How long a program's chat waits at its start for a server that is not there."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command to the parser."""
    parser = subparsers.add_parser("chat", help="talk to an agent from a terminal or a script")
    parser.add_argument(
        "--url", help=f"the server's address (default: {DEFAULT_URL}; GOLDENPATH_URL)"
    )
    parser.add_argument(
        "--token", help="the user's token (GOLDENPATH_TOKEN); a demo server gives one by itself"
    )
    parser.add_argument("--agent", help="the agent to ask (default: the thread's, else the first)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--thread", metavar="ID", help="go on in this thread (default: the newest)")
    where.add_argument("--new", action="store_true", help="begin a new thread")


def run(args: argparse.Namespace) -> int:
    """Chat until the input ends."""
    url = base_url(args.url or os.environ.get("GOLDENPATH_URL") or DEFAULT_URL)
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    chat = Chat(
        url,
        token_for(url, args.token, os.environ),
        thread_id=args.thread,
        new=args.new,
        agent=args.agent,
        patience=None if terminal else PATIENCE_SECONDS,
    )
    view = terminal_view(chat.interrupt) if terminal else PlainView(InputLines(sys.stdin.fileno()))
    code = asyncio.run(chat.run(view))
    return 0 if terminal and code == 1 else code  # people have seen what failed


def token_for(url: str, given: str | None, environment: Mapping[str, str]) -> str | TokenSource:
    """The token that was given, or a source that asks a demo server."""
    return given or environment.get("GOLDENPATH_TOKEN") or demo_tokens(url)


def demo_tokens(url: str) -> TokenSource:
    """A source of tokens of a demo server's one user for chats."""

    async def source() -> str:
        async with httpx.AsyncClient(trust_env=not is_loopback(url), timeout=10.0) as http:
            response = await http.post(f"{url}/demo/token", json={"client": "chat"})
        if response.is_success:
            return str(response.json()["token"])
        if response.status_code in (404, 405):
            raise ConfigError(
                f"--token: none was given, and {url} is no demo server; give one, or set "
                "GOLDENPATH_TOKEN (`goldenpath token USER` prints one)"
            )
        if response.status_code < 500:
            raise refusal(response)
        raise ConnectionError(f"HTTP {response.status_code}")

    return source


class Chat:
    """One chat: a client, a view, and the thread that it is in."""

    def __init__(
        self,
        url: str,
        token: str | TokenSource,
        *,
        thread_id: str | None = None,
        new: bool = False,
        agent: str | None = None,
        patience: float | None = None,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._url = url
        self._thread_id = thread_id
        self._chosen = thread_id is not None
        self._new = new
        self._agent = agent
        self._patience = patience
        self._client = Client(
            url, token, on_state=self._on_state, on_reset=self._on_reset, rand=rand
        )
        self._backoff = Backoff(rand=rand)
        self._view: View | None = None
        self._state: State = "closed"
        self._lost = False
        self._active: str | None = None
        self._cancelling: asyncio.Task[None] | None = None
        self._main: asyncio.Task[int] | None = None
        self._left = False

    @property
    def view(self) -> View:
        """Where it is shown."""
        assert self._view is not None
        return self._view

    async def run(self, view: View) -> int:
        """Chat until the input ends; the exit code."""
        self._view = view
        self._main = asyncio.current_task()
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGINT, self.interrupt)
        try:
            async with self._client:
                return await self._talk()
        except asyncio.CancelledError:
            if not self._left:
                raise
            return 130
        finally:
            if self._cancelling is not None:
                self._cancelling.cancel()
                await asyncio.gather(self._cancelling, return_exceptions=True)
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(signal.SIGINT)

    def interrupt(self) -> None:
        """Ctrl-C: cancel the run, or leave where none runs or it is being cancelled already."""
        if self._active is None or self._cancelling is not None:
            self.leave()
            return
        self.view.notice("cancelling… (Ctrl-C again leaves)")
        self._cancelling = asyncio.create_task(self._cancel(self._active))

    def leave(self) -> None:
        """End the chat; a run goes on without it."""
        self._left = True
        if self._main is not None:
            self._main.cancel()

    async def _cancel(self, run_id: str) -> None:
        # A run that ended in the meantime needs no cancelling.
        with contextlib.suppress(RefusedError, StoppedError):
            await self._client.cancel(run_id)

    async def _talk(self) -> int:
        succeeded = await self._begin()
        while (text := await self.view.question()) is not None:
            if text.strip():
                succeeded = await self._ask(text) and succeeded
        return 0 if succeeded else 1

    async def _begin(self) -> bool:
        """Show what was said last, and go on with what still runs."""
        try:
            async with asyncio.timeout(self._patience):
                history = await self._catch_up()
        except TimeoutError:
            raise StoppedError(
                "unavailable", f"{self._url} did not answer for {self._patience} s"
            ) from None
        succeeded = True
        if history is not None:
            for item in history.items[-CAUGHT_UP:]:
                self.view.message(item)
            for run in history.open_runs:
                if run.parent_run_id is not None:
                    continue  # shown with its parent
                succeeded = await self._watch(run.run_id) and succeeded
        return succeeded

    async def _catch_up(self) -> History | None:
        for attempt in itertools.count(1):
            await self._client.connected()
            try:
                if self._thread_id is None and not self._new:
                    threads = await self._client.http.threads(limit=1)
                    self._thread_id = threads.items[0].thread_id if threads.items else None
                if self._thread_id is None:
                    return None
                return await self._client.http.messages(self._thread_id, limit=CAUGHT_UP)
            except httpx.TransportError:
                pass  # the connection will notice too, and say so
            except RefusedError as error:
                if error.retryable:
                    if attempt == MOST_TRIES:
                        self.view.notice(f"what was said before cannot be shown: {error.message}")
                        return None
                elif error.code == "not_found" and self._chosen:
                    raise ConfigError(
                        f"--thread: {self._thread_id!r} is no thread of this user; "
                        "leave it out for the newest, or give --new"
                    ) from None
                else:
                    raise
            await asyncio.sleep(self._backoff.next())
        return None

    async def _ask(self, text: str) -> bool:
        """Send a question and show its answer; False where there was none."""
        if self._state != "online":
            self.view.notice("not connected; the question is sent when the server is back")
        try:
            sent = await self._client.send(text, thread_id=self._thread_id, agent=self._agent)
        except RefusedError as error:
            self.view.notice(f"{error.code}: {error.message}")
            return False
        self._thread_id = sent.thread_id
        return await self._watch(sent.run_id)

    async def _watch(self, run_id: str) -> bool:
        """Show a run up to its end; True where it succeeded."""
        shown = _Shown(run_id, self._client, self.view)
        self._active, self._cancelling = run_id, None
        completed: AgentCompleted | None = None
        self.view.begin()
        try:
            async for entry in self._client.run(run_id):
                shown.show(entry)
                if isinstance(entry.body, AgentCompleted) and entry.run_id == run_id:
                    completed = entry.body
                    self._client.ack(entry.seq)
        except ResetError:
            self.view.notice("this run is not in the server's log any more")
        except RefusedError as error:
            self.view.notice(f"this run cannot be shown: {error.message}")
        finally:
            self._active = None
            await shown.close()
            self.view.end(completed)
        return completed is not None and completed.status == "succeeded"

    def _on_state(self, state: State, reason: str) -> None:
        before, self._state = self._state, state
        if self._view is None:
            return
        if state == "waiting" and not self._lost:
            self._lost = True
            known = self._client.position is not None
            what = "reconnecting…" if known else f"cannot reach {self._url}; trying again…"
            self._view.notice(f"{what} ({clean(reason)})" if reason else what)
        elif state == "online" and self._lost and before != "online":
            self._lost = False
            self._view.notice("connected again" if self._client.position else "connected")

    async def _on_reset(self) -> None:
        self.view.notice("the server's log was replaced; what was said here may be gone")


class _Shown:
    """Shows one run, and asks for the approvals that it waits for."""

    def __init__(self, run_id: str, client: Client, view: View) -> None:
        self._run_id = run_id
        self._client = client
        self._view = view
        self._answer = Answer()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._one = asyncio.Lock()

    def show(self, entry: Entry) -> None:
        """Show an event of the run or of a child of it."""
        match entry.body:
            case AgentThinking() as thinking:
                self._view.thinking(thinking.text)
            case ToolExecuting() as tool:
                self._view.tool_started(tool)
            case ToolProgress() as progress:
                self._view.tool_progress(progress)
            case ToolCompleted() as tool:
                self._view.tool_ended(tool)
            case AgentOutput() as piece if entry.run_id == self._run_id:
                self._answer.add(piece)
                self._view.answer(self._answer.text)
            case RunQueued() as queued:
                self._view.notice(f"waiting: {queued.reason.replace('_', ' ')}")
            case AgentResumed() as resumed if resumed.reason in ("crash", "shutdown", "handover"):
                self._view.notice(f"resumed after a {resumed.reason}")
            case ApprovalRequested() as request:
                self._asking[request.approval_id] = asyncio.create_task(self._ask(request))
            case ApprovalResolved() as resolved:
                task = self._asking.pop(resolved.approval_id, None)
                if task is not None:
                    task.cancel()
                self._view.notice(f"{resolved.decision}" + _because(resolved.reason))
            case _:
                pass

    async def close(self) -> None:
        """Ask nothing any more."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _ask(self, request: ApprovalRequested) -> None:
        async with self._one:
            what = request.prompt or f"Allow {show_call(request.tool, request.arguments)}?"
            choice = await self._view.approval(clean(what))
        reason = "nobody was there to ask" if choice is None else None
        # Another device may have decided first, or the run may have ended.
        with contextlib.suppress(RefusedError, StoppedError):
            await self._client.decide(
                request.approval_id, "approve" if choice else "deny", reason=reason
            )


def _because(reason: str | None) -> str:
    return f": {clean(reason)}" if reason else ""
