"""Case 6: an agent that hangs, in every way in which code can."""

from datetime import datetime

import pytest

from tests.mission_critical.kit import TERMINAL, Device, Server, eventually, new_id, pairs

pytestmark = pytest.mark.anyio

DEADLINE = 0.6


@pytest.fixture(scope="module")
def flags() -> tuple[str, ...]:
    return ("--limit-runs-at-once", "1", "--limit-cancel", "200ms")


def moment(event: dict[str, object]) -> float:
    return datetime.fromisoformat(str(event["time"])).timestamp()


@pytest.mark.parametrize("how", ["await", "tool", "thread", "swallow"])
async def test_timed_out_within_its_deadline_and_a_second(server: Server, how: str) -> None:
    label = new_id()
    async with Device(server, f"user-{how}") as tab:
        abandoned = (await server.metrics())["goldenpath_abandoned_bodies"]
        sent, end = await tab.ask(f"{how} {label}", agent="hangs")
        events = tab.log.of(sent["run_id"])
        started = next(e for e in events if e["type"] == "agent_started")
        # By the server's own stamps: the deadline plus one second.
        assert moment(events[-1]) - moment(started) <= DEADLINE + 1
        assert end["status"] == "timed_out" and end["error"]["code"] == "deadline_exceeded"
        assert end["output"] == "Half an ans" and end["partial"]
        for _, done in pairs(events):
            assert done["status"] == "timed_out"
        assert len(pairs(events)) == (1 if how in ("tool", "thread") else 0)
        if how == "tool":
            await eventually(lambda: server.effects("endless_cancelled", label=label))
        # The slot is free (there is one): the next run begins and ends.
        _, after = await tab.ask("next", agent="plain")
        assert after["status"] == "succeeded"
        if how not in ("thread", "swallow"):
            return

        async def counted() -> bool:
            return (await server.metrics())["goldenpath_abandoned_bodies"] == abandoned + 1

        await eventually(counted, "the abandoned body is counted")
        server.open_gate(label)
        wanted = "blocking_ended" if how == "thread" else "late_refused"
        await eventually(lambda: server.effects(wanted, label=label))
        if how == "swallow":
            refusals = await eventually(
                lambda: (e := server.effects("late_refused", label=label))[1:] and e
            )
            assert [r["error"] for r in refusals] == ["RunEndedError", "RunEndedError"]
            assert not server.effects("lookup", query="LATE CALL")
        else:
            assert server.effects("blocking_refused", label=label)[0]["error"] == "RunEndedError"

        async def gone() -> bool:
            return (await server.metrics())["goldenpath_abandoned_bodies"] <= abandoned

        await eventually(gone, "the body has ended at last")
        await tab.ask("and after", agent="plain")
        await tab.fence()
        types = tab.log.types(sent["run_id"])
        assert types[-1] == TERMINAL and types.count(TERMINAL) == 1
        assert "LATE" not in str(tab.log.events), "a late result shows"


async def test_code_that_blocks_the_event_loop_is_named_with_its_stack(server: Server) -> None:
    async with Device(server, "blocker") as tab:
        _, end = await tab.ask("0.7", agent="blocks_loop")
        assert end["output"] == "done"
        await eventually(
            lambda: "hold_the_loop_for_a_while" in server.log_text(), "the watchdog names it"
        )


async def test_bodies_that_never_end_do_not_hold_up_the_end_of_the_process(mortal: Server) -> None:
    async with Device(mortal, "ada") as tab:
        for how in ("thread", "swallow"):
            _, end = await tab.ask(f"{how} never", agent="hangs")
            assert end["status"] == "timed_out"
    mortal.stop()
