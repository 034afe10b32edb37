"""Case 17: what an agent depends on is down, slow, or breaks off half-way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from goldenpath.testing.ports import free_port
from tests.mission_critical.kit import Device, Server, pairs, text_of

pytestmark = pytest.mark.anyio

TEXT = "".join(f"token{i} " for i in range(40))


class Provider:
    """A model's or a tool's HTTP service, as bad as it is told to be."""

    def __init__(self) -> None:
        self.port = free_port()
        self.plan: list[str] = []
        """What the next requests meet: down, slow, half, error; then all is well."""
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            how = self.plan.pop(0) if self.plan else "well"
            self.asked += 1
            body = TEXT.encode()
            if how == "slow":
                await asyncio.sleep(3600)
            status = b"503 No" if how == "error" else b"200 OK"
            head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            writer.write(head % (status, len(body)))
            for index in range(0, len(body), 20):
                if how == "half" and index > len(body) // 2:
                    break
                writer.write(body[index : index + 20])
                await writer.drain()
                # So that some of it is on its way to the reader before it breaks.
                await asyncio.sleep(0.01)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def provided(*plan: str) -> AsyncIterator[Provider]:
    provider = Provider()
    provider.plan = list(plan)
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await provider.serve(reader, writer)

    listener = await asyncio.start_server(accept, "127.0.0.1", provider.port)
    try:
        yield provider
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_tool_whose_service_is_down_slow_or_cut_fails_honestly_in_bounded_time(
    server: Server,
) -> None:
    async with Device(server, "ada") as tab:
        nowhere = f"http://127.0.0.1:{free_port()}/"
        sent, end = await tab.ask(nowhere, agent="reader")
        assert (end["status"], end["error"]["code"]) == ("failed", "agent_error")
        ((_, done),) = pairs(tab.log.of(sent["run_id"]))
        assert done["status"] == "error" and done["error"]
        async with provided("slow", "half", "error") as provider:
            for _ in range(3):
                sent, end = await tab.ask(provider.url, agent="reader")
                assert end["status"] == "failed"
                ((_, done),) = pairs(tab.log.of(sent["run_id"]))
                assert done["status"] == "error" and done["result"] is None
                # Its own time-out is one second; the run's budget is five minutes.
                assert done["duration_ms"] < 10_000
            # Recovery, without a restart of anything.
            _, end = await tab.ask(provider.url, agent="reader")
            assert (end["status"], end["output"]) == ("succeeded", TEXT)


async def test_an_idempotent_tool_is_tried_again(server: Server) -> None:
    async with Device(server, "bob") as tab, provided("error", "half") as provider:
        sent, end = await tab.ask(provider.url, agent="patient")
        assert (end["status"], end["output"]) == ("succeeded", TEXT)
        ((_, done),) = pairs(tab.log.of(sent["run_id"]))
        assert (done["status"], done["attempts"], provider.asked) == ("ok", 3, 3)
        provider.plan = ["slow", "slow", "slow"]
        sent, end = await tab.ask(provider.url, agent="patient")
        assert end["status"] == "failed"
        ((_, done),) = pairs(tab.log.of(sent["run_id"]))
        assert (done["status"], done["attempts"]) == ("error", 3)


async def test_a_model_that_breaks_off_is_asked_again_and_the_client_can_follow(
    server: Server,
) -> None:
    async with Device(server, "cyd") as tab, provided("half") as provider:
        sent, end = await tab.ask(provider.url, agent="model")
        assert (end["status"], end["output"], provider.asked) == ("succeeded", TEXT, 2)
        events = tab.log.of(sent["run_id"])
        restarts = [e for e in events if e["type"] == "agent_output" and e["data"]["restart"]]
        assert restarts, "the client was not told to drop what it had"
        assert text_of(events) == TEXT


async def test_a_model_that_stays_away_is_an_honest_failure_and_then_it_recovers(
    server: Server,
) -> None:
    async with Device(server, "dee") as tab, provided("half", "half", "half") as provider:
        _, end = await tab.ask(provider.url, agent="model")
        assert end["status"] == "failed" and end["error"]["code"] in (
            "agent_error", "provider_unavailable",
        )  # fmt: skip
        assert "INTERNAL" not in str(end)
        _, end = await tab.ask(provider.url, agent="model")
        assert (end["status"], end["output"]) == ("succeeded", TEXT)
        _, end = await tab.ask(f"http://127.0.0.1:{free_port()}/", agent="model")
        assert end["status"] == "failed"


async def test_the_named_error_of_an_agent_for_its_provider(server: Server) -> None:
    async with Device(server, "eve") as tab:
        _, end = await tab.ask("x", agent="no_provider")
        assert (end["status"], end["error"]["code"]) == ("failed", "provider_unavailable")
        assert end["error"]["retryable"]
