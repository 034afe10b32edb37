"""Mistakes of the engine: what a change of it could break."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from msgspec.structs import replace

from goldenpath.engine import (
    answer,
    demand,
    execution,
    histories,
    host,
    intake,
    journal,
    outbox,
    toolcall,
    user_engine,
    values,
)
from goldenpath.model.ids import AppendId, Seq
from tests.simulation.planted.planting import plant


@plant(outbox.Outbox, "_send")
def _append_again_with_a_new_id(original: Any) -> Any:
    def send(self: Any) -> None:
        flight = self._flight
        if flight is None or not flight.repeats:
            original(self)
            return

        async def again() -> None:
            one = flight.append
            head = (await self._store.head(self._user)).cursor
            entries = [
                replace(e, seq=Seq(head + number)) for number, e in enumerate(one.entries, 1)
            ]
            append_id = AppendId(f"{one.append_id}.{flight.repeats}")
            await self._store.append(replace(one, append_id=append_id, head=head, entries=entries))

        asyncio.ensure_future(again()).add_done_callback(self._answered)

    return send


@plant(execution.Execution, "main")
def _attempt_not_durable_before_code(original: Any) -> Any:
    async def main(self: Any, history: Any) -> None:
        real = self.engine.outbox.durable
        first = True

        async def durable(seq: int | None = None) -> None:
            nonlocal first
            if first:
                first = False
                return
            await real(seq)

        self.engine.outbox.durable = durable
        try:
            await original(self, history)
        finally:
            with contextlib.suppress(AttributeError):
                del self.engine.outbox.durable

    return main


@plant(outbox.Outbox, "durable")
def _nothing_is_waited_for(original: Any) -> Any:
    async def durable(self: Any, seq: int | None = None) -> None:
        await asyncio.sleep(0)

    return durable


@plant(toolcall.ToolCall, "_ambiguous")
def _call_an_ambiguous_tool_again(original: Any) -> Any:
    async def ambiguous(self: Any) -> None:
        self._next_attempt()

    return ambiguous


@plant(journal.Journal, "turn")
def _completions_released_at_once(original: Any) -> Any:
    def turn(self: Any, order: int) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        loop.call_later(0.001 * (order * 7 % 5), lambda: future.done() or future.set_result(None))
        return future

    return turn


@plant(user_engine.UserExecutionEngine, "_due_ms")
def _no_durable_demand(original: Any) -> Any:
    return lambda self: None


@plant(demand, "may_go_on")
def _sleepers_are_never_woken(original: Any) -> Any:
    return lambda run, runs, now_ms: run.journal.answered


@plant(user_engine, "closing")
def _open_calls_stay_open(original: Any) -> Any:
    def closing(*args: Any, **kwargs: Any) -> Any:
        found = list(original(*args, **kwargs))
        return iter(found[-1:])

    return closing


@plant(host.EngineHost, "give_slot")
def _slot_never_given_back(original: Any) -> Any:
    return lambda self, user: None


_SHARED: dict[str, Any] = {}


@plant(histories.Histories, "before")
def _a_dict_shared_between_users(original: Any) -> Any:
    async def history(self: Any, one: Any) -> Any:
        found = await original(self, one)
        shared = _SHARED.setdefault("messages", [])
        shared.extend(found)
        return list(shared)

    return history


@plant(outbox.Outbox, "add")
def _answer_before_it_is_durable(original: Any) -> Any:
    def add(self: Any, items: Any) -> Any:
        added = original(self, items)
        while self._receipts:
            self._settled(self._receipts.popleft()[1])
        return added

    return add


@plant(outbox.Outbox, "_land")
def _believe_in_more_than_has_landed(original: Any) -> Any:
    def land(self: Any, flight: Any) -> None:
        flight.last = max(flight.last, self._head)
        original(self, flight)

    return land


@plant(user_engine.UserExecutionEngine, "check_lease")
def _enter_tools_without_asking_for_the_lease(original: Any) -> Any:
    return lambda self: None


@plant(host.EngineHost, "holds_leases")
def _trust_a_lease_for_ever(original: Any) -> Any:
    return lambda self, since: True


@plant(host.EngineHost, "_note_renewal")
def _take_a_late_renewal_for_one_in_time(original: Any) -> Any:
    def note_renewal(self: Any, began: float) -> None:
        self._renewed = began

    return note_renewal


@plant(user_engine.UserExecutionEngine, "attempt_parked")
def _park_an_attempt_after_the_next_began(original: Any) -> Any:
    return lambda self, run, attempt: original(self, run, run.attempts)


@plant(user_engine.UserExecutionEngine, "end_children")
def _let_children_outlive_their_parent(original: Any) -> Any:
    async def end_children(self: Any, run: Any) -> None:
        pass

    return end_children


@plant(user_engine.UserExecutionEngine, "_on_due")
def _let_no_approval_expire(original: Any) -> Any:
    def on_due(self: Any) -> None:
        for run in list(self.runs.values()):
            self._look_at_parked(run)

    return on_due


@plant(user_engine.UserExecutionEngine, "_recover")
def _forget_open_runs(original: Any) -> Any:
    return lambda self: None


@plant(user_engine.UserExecutionEngine, "admit")
def _run_a_thread_twice_at_once(original: Any) -> Any:
    def admit(self: Any, run: Any) -> Any:
        why = original(self, run)
        if why == "thread_busy" and self._services.take_slot(self.user):
            run.slot = True
            return None
        return why

    return admit


@plant(user_engine.UserExecutionEngine, "_resume")
def _go_on_without_saying_so(original: Any) -> Any:
    def resume(self: Any, run: Any) -> None:
        emit, self.emit = self.emit, lambda run, *bodies: self.outbox.head
        try:
            original(self, run)
        finally:
            self.emit = emit

    return resume


@plant(host.EngineHost, "_release")
def _keep_the_lease_of_a_user_who_left(original: Any) -> Any:
    async def release(self: Any, user: Any, epoch: int) -> None:
        pass

    return release


@plant(toolcall.ToolCall, "_write_end")
def _leave_a_cancelled_call_open(original: Any) -> Any:
    return lambda self, outcome: None


@plant(toolcall.ToolCall, "_next_attempt")
def _call_again_without_a_word(original: Any) -> Any:
    def next_attempt(self: Any) -> None:
        self._attempt += 1

    return next_attempt


@plant(toolcall.ToolCall, "_approved")
def _enter_what_was_not_approved(original: Any) -> Any:
    async def approved(self: Any, key: Any, prompt: str | None = None) -> str | None:
        await original(self, key, prompt)
        return None

    return approved


@plant(values, "redact")
def _show_secrets(original: Any) -> Any:
    return lambda value, secret: value


@plant(journal.Journal, "seen_thought")
def _think_the_same_again(original: Any) -> Any:
    return lambda self, text, step: False


@plant(answer.AnswerWriter, "_compare")
def _write_again_what_was_written(original: Any) -> Any:
    def compare(self: Any, text: str) -> str:
        self._recorded = None
        return text

    return compare


@plant(answer.AnswerWriter, "close_part")
def _forget_the_last_piece(original: Any) -> Any:
    def close_part(self: Any) -> None:
        if self._buffer and len(self._buffer) > 1:
            self._buffer.pop()
        original(self)

    return close_part


@plant(intake.Intake, "_reject")
def _refuse_without_an_answer(original: Any) -> Any:
    return lambda self, pending, *more: None


@plant(intake.Intake, "take")
def _take_commands_while_everything_is_erased(original: Any) -> Any:
    async def take(self: Any) -> None:
        was, self.forgetting = self.forgetting, False
        await original(self)
        self.forgetting = self.forgetting or was

    return take


@plant(user_engine.UserExecutionEngine, "cancel_and_wait")
def _erase_before_runs_have_ended(original: Any) -> Any:
    async def cancel_and_wait(self: Any, runs: Any, reason: Any) -> None:
        if reason != "erasure":
            await original(self, runs, reason)
            return
        for run in runs:
            if not run.ending:
                self.cancel(run, reason)

    return cancel_and_wait


@plant(outbox.Outbox, "erase")
def _say_that_it_was_erased(original: Any) -> Any:
    def erase(self: Any, thread_id: Any) -> None:
        if thread_id is not None:
            original(self, thread_id)

    return erase
