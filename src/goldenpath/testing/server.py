"""An application on a free port, in a thread, for as long as a test wants it."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from goldenpath.client import Client
from goldenpath.compose.app import App
from goldenpath.compose.assembly import Assembly
from goldenpath.compose.serving import bind, http_server, url_of
from goldenpath.compose.tokens import mint
from goldenpath.config import Settings
from goldenpath.errors import GoldenpathError
from goldenpath.model.entries import Entry
from goldenpath.model.events import AgentCompleted, RunError
from goldenpath.testing.clock import FakeClock

T = TypeVar("T")

_START_SECONDS = 30.0
_TOKEN_SECONDS = 24 * 3600.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, and all of its events as the user saw them."""

    run_id: str
    thread_id: str
    status: str
    output: str
    error: RunError | None
    events: list[Entry]


class Started:
    """A run that was asked for: also over a restart of its server."""

    def __init__(self, server: AppServer, user: str, run_id: str, thread_id: str) -> None:
        self._server = server
        self._user = user
        self.run_id = run_id
        self.thread_id = thread_id

    def result(self, seconds: float = 30.0) -> Answer:
        """Wait for the answer. Raises `TimeoutError` after `seconds`."""
        work = self._server.answer(self._user, self.run_id, self.thread_id)
        return self._server.call(work, seconds)


class AppServer:
    """Serves an `App` over real sockets, to a test and whatever it starts.

    with AppServer(app) as server:
        assert server.ask("ada", "How much is tea?").output == "One tea is 3.20."

    The store is a new file unless `store` names one. Users are told by `token(user)`; an
    application's own `authenticate` is not asked. With a `FakeClock` durable waits are over when
    that is moved. Its methods may be called from any
    thread but the server's own.
    """

    def __init__(
        self, app: App, *, clock: FakeClock | None = None, store: str | None = None
    ) -> None:
        self.clock = clock
        self.url = ""
        """Where it listens, once it is entered: `http://127.0.0.1:port`."""
        self._app = app
        self._store = store
        self._folder: TemporaryDirectory[str] | None = None
        self._settings: Settings | None = None
        self._port = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._began = threading.Event()
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="goldenpath-test-", ignore_cleanup_errors=True)
        store = self._store or f"sqlite:///{Path(self._folder.name) / 'store.db'}"
        self._settings = msgspec.structs.replace(
            self._app.load_settings(),
            store=store,
            durability="process",
            auth="hs256",
            auth_secret=secrets.token_urlsafe(48),
            auth_issuer=None,
            auth_audience=None,
            drain=0.0,
        )
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        if self._folder is not None:
            self._folder.cleanup()

    def token(self, user: str) -> str:
        """A bearer token of a user, for this server alone."""
        assert self._settings is not None, "the server is not running: use it in a `with`"
        return mint(self._settings, user, int(time.time()), _TOKEN_SECONDS)

    def client(self, user: str, **options: Any) -> Client:
        """A client of a user, for `async with`."""
        return Client(self.url, self.token(user), **options)

    def ask(
        self,
        user: str,
        text: str,
        *,
        agent: str | None = None,
        thread_id: str | None = None,
        seconds: float = 30.0,
    ) -> Answer:
        """Send a message as a user's device does, and wait for the answer.

        Raises `RefusedError`, and `TimeoutError` after `seconds`.
        """
        return self.start(user, text, agent=agent, thread_id=thread_id).result(seconds)

    def start(
        self, user: str, text: str, *, agent: str | None = None, thread_id: str | None = None
    ) -> Started:
        """Send a message, and return when it is accepted. Raises `RefusedError`."""
        run_id, thread_id = self.call(self._send(user, text, agent, thread_id))
        return Started(self, user, run_id, thread_id)

    def restart(self) -> None:
        """Stop and start again, as a deployment does: runs are parked and taken up again."""
        self._end()
        self._start()

    # -- in the server's thread --------------------------------------------------------------

    def _start(self) -> None:
        self._began.clear()
        self._error = None
        self._thread = threading.Thread(target=self._main, name="goldenpath-server", daemon=True)
        self._thread.start()
        if not self._began.wait(_START_SECONDS):
            raise GoldenpathError(f"the server did not start within {_START_SECONDS:g} s")
        if self._error is not None:
            raise self._error

    def _end(self) -> None:
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and self._thread is not None:
            loop.call_soon_threadsafe(stop.set)
            self._thread.join(_START_SECONDS)
            if self._thread.is_alive():
                raise GoldenpathError(
                    f"the server did not stop within {_START_SECONDS:g} s: does an agent or a tool "
                    "block its event loop?"
                )
        self._thread = self._loop = self._stop = None

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._began.set()

    async def _serve(self) -> None:
        assert self._settings is not None
        settings, users = self._settings, self._app.authenticate
        self._app.authenticate = None
        try:
            with bind("127.0.0.1", self._port, "port") as listener:
                self._port = listener.getsockname()[1]
                async with self._app.running(settings, clock=self.clock) as assembly:
                    await self._until_stopped(listener, settings, assembly)
        finally:
            self._app.authenticate = users

    async def _until_stopped(self, listener: Any, settings: Settings, assembly: Assembly) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop, self._stop, self.url = loop, stop, url_of(listener)
        if self.clock is not None:
            self.clock.watch(lambda: _look(loop, assembly))
        server = http_server(self._app.asgi(), settings)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        self._began.set()  # the socket listens already
        try:
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([stopping, serving], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            await assembly.finish(0)
        finally:
            server.should_exit = True
            await serving

    def call(self, work: Coroutine[Any, Any, T], seconds: float = 30.0) -> T:
        """Run a coroutine in the server's event loop. Raises `TimeoutError` after `seconds`."""
        assert self._loop is not None, "the server is not running: use it in a `with`"
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise

    async def _send(
        self, user: str, text: str, agent: str | None, thread_id: str | None
    ) -> tuple[str, str]:
        async with self.client(user) as client:
            sent = await client.send(text, agent=agent, thread_id=thread_id)
        return sent.run_id, sent.thread_id

    async def answer(self, user: str, run_id: str, thread_id: str) -> Answer:
        """Follow a run of a user to its end, from its first event."""
        async with self.client(user) as client:
            events = [entry async for entry in client.run(run_id)]
        end = events[-1].body
        assert isinstance(end, AgentCompleted)
        return Answer(
            run_id=run_id,
            thread_id=thread_id,
            status=end.status,
            output=end.output,
            error=end.error,
            events=events,
        )


def _look(loop: asyncio.AbstractEventLoop, assembly: Assembly) -> None:
    if not loop.is_closed():  # a server before a restart has none
        asyncio.run_coroutine_threadsafe(assembly.host.look(), loop)
