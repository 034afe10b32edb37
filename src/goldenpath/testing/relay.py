"""A way between processes that can be cut, held up and mended; to several ends it is a balancer.

It runs in a thread of its own: what a test does meanwhile does not hold it up.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

Address = tuple[str, int]
_CONNECT_SECONDS = 1.0
_BYTES = 1 << 16


class Relay:
    """Forwards TCP connections to one of its ends: the next in turn that answers."""

    def __init__(self, *ends: Address, host: str = "127.0.0.1", port: int = 0) -> None:
        self.ends: Sequence[Address] = ends
        """May be changed at any time; connections that are open stay where they are."""
        self.port = port
        self._host = host
        self._turn = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open = True
        self._flows = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    # -- life --------------------------------------------------------------------------------

    def start(self) -> Relay:
        """Listen; `port` is where."""
        self._thread.start()
        self._do(self._start)
        return self

    async def _start(self) -> None:
        self._flows.set()
        self._server = await asyncio.start_server(self._accept, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Cut all connections and listen no more."""
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._abort()

    def __enter__(self) -> Relay:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _do(self, work: Callable[[], Any]) -> None:
        async def done() -> None:
            result = work()
            if asyncio.iscoroutine(result):
                await result

        asyncio.run_coroutine_threadsafe(done(), self._loop).result(10)

    # -- harm --------------------------------------------------------------------------------

    def cut(self) -> None:
        """End every connection, and accept none until mended."""

        def cut() -> None:
            self._open = False
            self._abort()

        self._do(cut)

    def hold(self) -> None:
        """Let nothing through; connections stay open, as to a machine that has vanished."""
        self._do(self._flows.clear)

    def mend(self) -> None:
        """Let everything through again."""

        def mend() -> None:
            self._open = True
            self._flows.set()

        self._do(mend)

    def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    # -- connections -------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        far_writer: asyncio.StreamWriter | None = None
        self._writers.add(writer)
        try:
            found = await self._connect() if self._open else None
            if found is None:
                return
            far, far_writer = found
            self._writers.add(far_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, far_writer))
                group.create_task(self._forward(far, writer))
        except* OSError:
            pass
        finally:
            for one in (writer, far_writer):
                if one is not None:
                    self._writers.discard(one)
                    one.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        ends = list(self.ends)
        first = next(self._turn)
        for offset in range(len(ends)):
            host, port = ends[(first + offset) % len(ends)]
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    return await asyncio.open_connection(host, port)
            except (OSError, TimeoutError):
                continue
        return None

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_BYTES):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
