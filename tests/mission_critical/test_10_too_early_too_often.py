"""Case 10: commands before the welcome, twice at once, five hundred in one write."""

import asyncio

import pytest

from tests.mission_critical.kit import JSON, Device, RefusedCommandError, Server, check_run, new_id

pytestmark = pytest.mark.anyio


def send(text: str, id: str | None = None, **more: object) -> JSON:
    frame = {"type": "send", "id": id or new_id(), "thread_id": None, "text": text}
    return {**frame, "agent": "plain", **more}


async def test_commands_right_behind_hello_are_answered_in_order(server: Server) -> None:
    tab = Device(server, "ada")
    await tab.open()
    frames = [send(f"early {i}") for i in range(5)]
    await tab.write_at_once([tab.hello(), *frames, {"type": "ping", "id": "p"}])
    for frame in frames:
        await tab.answer(frame["id"])
    answered = [f["id"] for f in tab.order if f["type"] == "accepted"]
    assert answered == [f["id"] for f in frames]
    await tab.answer("p")
    for frame in frames:
        run = tab.answers[frame["id"]][0]["run_id"]
        await tab.end(run)
        check_run(tab.log.of(run))
    await tab.close()


async def test_anything_before_hello_closes(server: Server) -> None:
    for first in (send("x"), {"type": "ping", "id": "x"}, {"type": "ack", "cursor": 0}):
        tab = Device(server, "early")
        await tab.open()
        await tab.write(first)
        assert await tab.until_closed() == 4400
    async with Device(server, "early") as tab:
        await tab.fence()
        assert tab.log.events == [], "what was refused has happened"
        await tab.write(tab.hello())
        assert await tab.until_closed() == 4400


async def test_the_same_command_on_two_sockets_at_once_happens_once(server: Server) -> None:
    async with Device(server, "bob") as one, Device(server, "bob") as two:
        for _ in range(20):
            frame = send("twice")
            answers = await asyncio.gather(one.command(dict(frame)), two.command(dict(frame)))
            fields = ("thread_id", "message_id", "run_id", "seq")
            assert [answers[0][f] for f in fields] == [answers[1][f] for f in fields]
            assert sorted(a["duplicate"] for a in answers) == [False, True]
            await one.end(answers[0]["run_id"])
            check_run(one.log.of(answers[0]["run_id"]))
            # And later, on either, still the same; with another body it is another thing.
            assert (await two.command(dict(frame)))["run_id"] == answers[0]["run_id"]
            with pytest.raises(RefusedCommandError) as refused:
                await one.command({**frame, "text": "other"})
            assert refused.value.code == "id_reused"
        await one.fence()
        received = [e for e in one.log.events if e["type"] == "message_received"]
        assert len(received) == 20


async def test_five_hundred_commands_in_one_write_are_answered_once_each_in_order(
    server: Server,
) -> None:
    async with Device(server, "cyd") as tab:
        frames = [send(f"number {i}") for i in range(500)]
        await tab.write_at_once(frames)
        for frame in frames:
            await tab.answer(frame["id"])
        assert [f["id"] for f in tab.order] == [f["id"] for f in frames]
        accepted = [f for f in tab.order if f["type"] == "accepted"]
        refused = [f for f in tab.order if f["type"] == "refused"]
        assert {f["error"]["code"] for f in refused} <= {"queue_full"}
        assert len(accepted) >= 100
        for frame in accepted:
            assert (await tab.end(frame["run_id"]))["status"] == "succeeded"
            check_run(tab.log.of(frame["run_id"]))
        await tab.fence()
        # What was refused has left nothing; sent again, it is taken.
        texts = [e["data"]["text"] for e in tab.log.events if e["type"] == "message_received"]
        by_id = {f["id"]: f["text"] for f in frames}
        assert texts == [by_id[f["id"]] for f in accepted]


async def test_more_commands_than_a_minute_allows_are_refused_visibly(server: Server) -> None:
    async with Device(server, "dee") as tab:
        frames = [{"type": "cancel", "id": new_id(), "run_id": "none"} for _ in range(700)]
        await tab.write_at_once(frames)
        for frame in frames:
            await tab.answer(frame["id"])
        assert [f["id"] for f in tab.order] == [f["id"] for f in frames]
        codes = [f["error"]["code"] for f in tab.order]
        assert set(codes) == {"not_found", "rate_limited"}
        limited = [f for f in tab.order if f["error"]["code"] == "rate_limited"]
        assert all(f["error"]["retryable"] for f in limited)
    async with Device(server, "eve") as other:
        await other.ask("not I", agent="plain")
