"""The client gives every event once and in order, and has every command executed once."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import pytest

from goldenpath.client import Answer, Client, Position, RefusedError, ResetError, StoppedError
from goldenpath.client.connection import MOST_VIOLATIONS
from goldenpath.model.entries import Entry
from goldenpath.model.events import AgentCompleted, AgentOutput
from tests.client.fake_server import (
    TEXT,
    FakeServer,
    completed,
    pieces,
    plain_run,
    problem,
    started,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer().running() as fake:
        yield fake


def at_once() -> float:
    return 0.0


def new(server: FakeServer, **options: Any) -> Client:
    return Client(server.url, options.pop("token", "t"), device="d", rand=at_once, **options)


async def read_run(client: Client, run_id: str) -> tuple[list[int], str]:
    """The seqs of a run's events, and its answer as joined from the pieces."""
    seqs: list[int] = []
    answer = Answer()
    async for entry in client.run(run_id):
        seqs.append(entry.seq)
        if isinstance(entry.body, AgentOutput):
            answer.add(entry.body)
    return seqs, answer.text


def run_seqs(server: FakeServer, run_id: str) -> list[int]:
    return [
        e["seq"]
        for e in server.log
        if e is not None and e["run_id"] == run_id and e["type"] != "event_of_the_future"
    ]


async def test_a_message_gives_its_run_and_its_answer(server: FakeServer) -> None:
    async with new(server) as client:
        sent = await client.send("cost per model")
        assert not sent.duplicate
        assert await read_run(client, sent.run_id) == (run_seqs(server, sent.run_id), TEXT)
        assert client.counts.unknown == 1
        assert client.counts.violations == 0
        assert client.position == Position("m1", len(server.log))


async def test_a_run_can_be_read_again_and_after_its_end(server: FakeServer) -> None:
    async with new(server) as client:
        sent = await client.send("x")
        first = await read_run(client, sent.run_id)
        assert await read_run(client, sent.run_id) == first
        result = await client.result(sent.run_id)
        assert (result.status, result.output) == ("succeeded", TEXT)


@pytest.mark.parametrize("code", [0, 1001, 1011, 4429])
async def test_a_drop_at_any_frame_costs_nothing(server: FakeServer, code: int) -> None:
    """Before each frame in turn, whatever it is: welcome, accepted, events."""
    async with FakeServer().running() as whole, new(whole) as client:
        sent = await client.send("x")
        await read_run(client, sent.run_id)
    frames = whole.written
    assert frames > 8
    for cut in range(1, frames + 1):
        async with FakeServer().running() as fake:
            fake.fault = lambda n, _, cut=cut: code if n == cut else None
            async with new(fake) as client:
                sent = await client.send("x", id="same")
                seen = await read_run(client, sent.run_id)
                assert seen == (run_seqs(fake, sent.run_id), TEXT), f"cut before frame {cut}"
                assert len(fake.executed) == 1
                assert client.counts.violations == 0


async def test_a_connection_that_breaks_at_every_second_frame_still_gets_through(
    server: FakeServer,
) -> None:
    server.size = 1
    server.fault = lambda n, _: 0 if n % 3 == 0 else None
    async with new(server) as client:
        sent = await client.send("x")
        assert await read_run(client, sent.run_id) == (run_seqs(server, sent.run_id), TEXT)
    assert len(server.executed) == 1


async def test_frames_sent_twice_are_read_once(server: FakeServer) -> None:
    server.fault = lambda n, frame: [frame, frame] if frame["type"] != "welcome" else None
    async with new(server) as client:
        sent = await client.send("x")
        assert await read_run(client, sent.run_id) == (run_seqs(server, sent.run_id), TEXT)
        assert client.counts.repeats > 0
        assert client.counts.violations == 0


def lost_once(kind: str) -> Any:
    """A fault that spoils the third frame of events, the first time."""
    seen = 0

    def fault(n: int, frame: dict[str, Any]) -> list[dict[str, Any]] | None:
        nonlocal seen
        if frame["type"] != "events":
            return None
        seen += 1
        if seen != 3:
            return None
        match kind:
            case "frame":
                return []
            case "event":
                return [{**frame, "events": frame["events"][1:]}]
            case "count":
                return [{**frame, "hidden": frame["hidden"] + 1}]
            case _:
                return [{**frame, "events": list(reversed(frame["events"]))}]

    return fault


@pytest.mark.parametrize("kind", ["frame", "event", "count", "order"])
async def test_a_gap_is_noticed_counted_and_read_again(server: FakeServer, kind: str) -> None:
    server.script = lambda run, message, text: [
        started(message),
        *pieces(),
        completed("succeeded", TEXT),
    ]
    server.fault = lost_once(kind)
    async with new(server) as client:
        sent = await client.send("x")
        assert await read_run(client, sent.run_id) == (run_seqs(server, sent.run_id), TEXT)
        assert client.counts.violations == 1
    assert len(server.hellos) == 2
    assert server.hellos[1]["cursor"] == 4


async def test_a_server_that_always_loses_stops_the_client(server: FakeServer) -> None:
    server.fault = lambda n, f: [{**f, "hidden": 9}] if f["type"] == "events" else None
    async with new(server, position=Position("0", 0)) as client:
        server.append(*plain_run("r", "m", "x"), thread="t", run="r")
        with pytest.raises(StoppedError, match="gap"):
            async for _ in client.follow():
                pass
        assert client.counts.violations == MOST_VIOLATIONS
        with pytest.raises(StoppedError):
            await client.send("y")


async def test_what_is_sent_while_the_server_is_down_is_sent_when_it_is_back(
    server: FakeServer,
) -> None:
    states: list[str] = []
    waiting = asyncio.Event()

    def on_state(state: str, reason: str) -> None:
        states.append(state)
        if state == "waiting":
            waiting.set()

    async with new(server, on_state=on_state) as client:
        await client.connected()
        await server.stop()
        await waiting.wait()
        tasks = [asyncio.create_task(client.send(f"q{n}", id=f"c{n}")) for n in range(3)]
        while len(client.unanswered) < 3:
            await asyncio.sleep(0)
        await server.start()
        sent = [await task for task in tasks]
        assert [one.id for one in sent] == ["c0", "c1", "c2"]
        assert [frame["text"] for frame in server.executed] == ["q0", "q1", "q2"]
        assert (await client.result(sent[2].run_id)).output == TEXT
    assert states[0] == "connecting"
    assert states[-1] == "closed"


async def test_an_unknown_outcome_is_asked_for_again_under_the_same_id(server: FakeServer) -> None:
    refusals = iter([{"code": "unavailable", "message": "no store", "retryable": True}] * 3)
    server.refuse = lambda frame: next(refusals, None)
    async with new(server) as client:
        sent = await client.send("x")
        assert (await client.result(sent.run_id)).status == "succeeded"
    assert len(server.executed) == 1


async def test_a_refusal_reaches_the_caller_with_its_code(server: FakeServer) -> None:
    server.refuse = lambda f: {"code": "busy", "message": "the thread is busy", "retryable": True}
    async with new(server) as client:
        with pytest.raises(RefusedError) as caught:
            await client.send("x")
        assert (caught.value.code, caught.value.retryable) == ("busy", True)
        assert client.unanswered == []


async def test_the_same_id_is_one_message(server: FakeServer) -> None:
    async with new(server) as client:
        first = await client.send("x", id="one")
        again = await client.send("x", id="one")
        assert again.run_id == first.run_id
        assert again.duplicate
    assert len(server.executed) == 1


async def test_a_message_over_the_limit_is_refused_before_it_is_sent(server: FakeServer) -> None:
    server.frame_bytes = 2000
    async with new(server) as client:
        await client.connected()
        with pytest.raises(RefusedError, match="too_large"):
            await client.send("x" * 3000)
        with pytest.raises(RefusedError, match="Unicode"):
            await client.send("\ud800")
        assert (await client.send("y")).run_id


async def test_a_server_that_closes_for_size_does_not_get_the_frame_again() -> None:
    """The limit that it told was wrong, or something between us has a lower one."""
    fake = FakeServer()
    fake.frame_bytes = 2000
    async with fake.running():
        fake.frame_bytes = 10**6
        async with new(fake) as client:
            await client.connected()
            with pytest.raises(RefusedError, match="too_large"):
                await client.send("x" * 3000)
            assert (await client.send("y")).run_id


async def test_reading_goes_on_where_another_client_stopped(server: FakeServer) -> None:
    server.append(*plain_run("r1", "m1", "x"), thread="t", run="r1")
    seen: list[int] = []
    position: Position | None = Position("0", 0)
    while len(seen) < len(run_seqs(server, "r1")):
        async with new(server, position=position) as client:
            async for entry in client.follow():
                seen.append(entry.seq)
                position = Position("m1", entry.seq)
                break
    assert seen == run_seqs(server, "r1")


async def test_follow_goes_on_where_it_was_left(server: FakeServer) -> None:
    server.append(*plain_run("r1", "m1", "x"), thread="t", run="r1")
    seen: list[int] = []
    async with new(server, position=Position("0", 0)) as client:
        for _ in range(3):
            async for entry in client.follow():
                seen.append(entry.seq)
                break
    assert seen == run_seqs(server, "r1")[:3]


async def test_a_run_from_before_this_client_is_read_whole(server: FakeServer) -> None:
    events = plain_run("r1", "m1", "x")
    server.append(*events[:8], thread="t", run="r1")
    async with new(server) as client:
        seqs: list[int] = []
        async for entry in client.run("r1"):
            seqs.append(entry.seq)
            if len(seqs) == 1:
                server.append(*events[8:], thread="t", run="r1")
        assert seqs == run_seqs(server, "r1")


async def test_the_past_of_a_run_is_asked_for_until_it_is_told(server: FakeServer) -> None:
    server.append(*plain_run("r1", "m1", "x"), thread="t", run="r1")
    get, failures = server._get, iter([HTTPStatus.SERVICE_UNAVAILABLE] * 2)

    def failing(path: list[str], query: dict[str, list[str]]) -> tuple[HTTPStatus, str]:
        for status in failures:
            return status, "no store"
        return get(path, query)

    server._get = failing  # type: ignore[method-assign]
    async with new(server) as client:
        assert await read_run(client, "r1") == (run_seqs(server, "r1"), TEXT)


async def test_a_run_that_is_not_there_is_refused(server: FakeServer) -> None:
    server._get = lambda path, query: (HTTPStatus.NOT_FOUND, problem("not_found"))  # type: ignore[method-assign]
    async with new(server) as client:
        with pytest.raises(RefusedError, match="not_found"):
            await client.result("r9")


async def test_a_reset_drops_what_was_read_and_sends_commands_again(server: FakeServer) -> None:
    reloaded: list[int] = []

    async def reload() -> None:
        assert client.position is not None
        reloaded.append(client.position.cursor)

    server.append(*plain_run("r1", "m1", "x"), thread="t", run="r1")
    async with new(server, position=Position("0", 0), on_reset=reload) as client:
        follower = client.follow()
        first = await anext(follower)
        assert first.seq == 1
        await server.stop()
        server.replace_log()
        sending = asyncio.create_task(client.send("again", id="kept"))
        await asyncio.sleep(0)
        await server.start()
        sent = await sending
        seen = [await anext(follower) for _ in range(3)]
        assert [entry.seq for entry in seen] == [1, 3, 4]
        assert {entry.run_id for entry in seen} == {sent.run_id}
        assert reloaded == [0]
        assert client.counts.resets == 1


async def test_without_a_callback_a_reset_cannot_be_missed(server: FakeServer) -> None:
    async with new(server) as client:
        sent = await client.send("x")
        run = client.run(sent.run_id)
        await anext(run)
        follower = client.follow()
        await anext(follower)
        await server.stop()
        server.replace_log()
        await server.start()
        with pytest.raises(ResetError):
            while True:
                await anext(follower)
        with pytest.raises(ResetError):
            async for _ in run:
                pass


@pytest.mark.parametrize(
    ("code", "name"), [(4409, "replaced"), (4400, "bad_hello"), (4401, "unauthenticated")]
)
async def test_some_closes_are_for_good(server: FakeServer, code: int, name: str) -> None:
    server.fault = lambda n, frame: code if frame["type"] == "events" else None
    async with new(server) as client:
        sent = await client.send("x")
        with pytest.raises(StoppedError) as caught:
            await client.result(sent.run_id)
        assert caught.value.code == name
        assert client.state == "closed"


async def test_goodbye_says_whether_to_come_back(server: FakeServer) -> None:
    retries = iter([True, False])

    def fault(n: int, frame: dict[str, Any]) -> tuple[list[dict[str, Any]], int] | None:
        if frame["type"] != "events":
            return None
        goodbye = {"type": "goodbye", "code": "shutdown", "reason": "x", "retry": next(retries)}
        return [goodbye], 1001

    server.fault = fault
    async with new(server) as client:
        sent = await client.send("x")
        with pytest.raises(StoppedError) as caught:
            await client.result(sent.run_id)
        assert caught.value.code == "shutdown"
    assert len(server.hellos) == 2


async def test_a_refused_token_is_replaced(server: FakeServer) -> None:
    server.bad_tokens = {"t1", "t2"}
    given = iter(["t1", "t2", "t3"])

    async def source() -> str:
        return next(given)

    async with new(server, token=source) as client:
        assert (await client.connected()).user_id == "u"
    assert server.tokens == ["t1", "t2", "t3"]


async def test_a_source_of_bad_tokens_is_not_asked_for_ever(server: FakeServer) -> None:
    server.bad_tokens = {"bad"}

    async def source() -> str:
        return "bad"

    async with new(server, token=source) as client:
        with pytest.raises(StoppedError, match="unauthenticated"):
            await client.connected()


async def test_a_source_that_is_offline_is_asked_again(server: FakeServer) -> None:
    failures = iter([OSError("no route"), ConnectionRefusedError()])

    async def source() -> str:
        for error in failures:
            raise error
        return "t"

    async with new(server, token=source) as client:
        assert (await client.connected()).user_id == "u"


class FakeClock:
    """Time passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def jwt(expiry: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expiry}).encode()).decode().rstrip("=")
    return f"e30.{claims}.x"


async def test_a_token_is_renewed_in_band_before_it_ends(server: FakeServer) -> None:
    clock = FakeClock()
    expiries = iter([clock.now + 100, clock.now + 1000])
    last = jwt(clock.now + 1000)

    async def source() -> str:
        return jwt(next(expiries)) if clock.now < 1_000_100 and clock.slept == [] else "endless"

    async with new(server, token=source, clock=clock) as client:
        await client.connected()
        while "endless" not in server.tokens:
            await asyncio.sleep(0)
    assert clock.slept == [80.0]
    assert len(server.hellos) == 1
    assert last not in server.tokens


async def test_delays_grow_with_full_jitter_up_to_a_cap() -> None:
    clock = FakeClock()
    fake = FakeServer()
    async with fake.running():
        pass
    halves = Client(fake.url, "t", rand=lambda: 0.5, clock=clock)
    async with halves:
        while len(clock.slept) < 9:
            await asyncio.sleep(0)
    assert clock.slept[:9] == [0.125, 0.25, 0.5, 1, 2, 4, 7.5, 7.5, 7.5]


async def test_what_is_acknowledged_reaches_the_server(server: FakeServer) -> None:
    async with new(server) as client:
        sent = await client.send("x")
        last = 0
        async for entry in client.run(sent.run_id):
            last = entry.seq
        client.ack(last)
        await client.send("y")
    assert last in server.acks


async def test_cancelling_and_deciding_are_answered(server: FakeServer) -> None:
    server.script = lambda run, message, text: [started(message)]
    async with new(server) as client:
        sent = await client.send("x")
        await client.cancel(sent.run_id)
        assert (await client.result(sent.run_id)).status == "cancelled"
        await client.decide("a1", "approve")
    assert [frame["type"] for frame in server.executed] == ["send", "cancel", "decide"]


async def test_a_command_sent_from_inside_follow_is_answered_however_much_waits(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goldenpath.client.feed.KEPT", 4)
    for _ in range(20):
        server.append(*plain_run("r", "m", "x"), thread="t", run="r")
    async with new(server, position=Position("0", 0)) as client:
        client._feed._kept = 4
        entries: list[Entry] = []
        async for entry in client.follow():
            entries.append(entry)
            if len(entries) == 10:
                sent = await client.send("y")
            if len(entries) > 10 and entry.run_id == sent.run_id:
                break
        assert [e.seq for e in entries] == sorted({e.seq for e in entries})


async def test_a_follower_that_lags_stops_the_reading(server: FakeServer) -> None:
    for _ in range(20):
        server.append(*plain_run("r", "m", "x"), thread="t", run="r")
    async with new(server, position=Position("0", 0)) as client:
        client._feed._kept = 10
        follower = client.follow()
        await anext(follower)
        while not client._feed.full:
            await asyncio.sleep(0)
        assert client.position is not None
        assert client.position.cursor < len(server.log)
        total = len([e for e in server.log if e and e["type"] != "event_of_the_future"])
        for _ in range(total - 1):
            last = await anext(follower)
        assert isinstance(last.body, AgentCompleted)


async def test_closing_ends_what_waits(server: FakeServer) -> None:
    server.script = lambda run, message, text: [started(message)]
    async with new(server) as client:
        sent = await client.send("x")
        waiting = asyncio.create_task(client.result(sent.run_id))
        await asyncio.sleep(0)
    with pytest.raises(StoppedError, match="closed"):
        await waiting
    with pytest.raises(StoppedError, match="closed"):
        await client.send("y")
