"""What must be true at the end of every simulated history; independent of the engine's code."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from goldenpath.model.entries import decode
from goldenpath.model.projections import Rows, apply

if TYPE_CHECKING:
    from tests.simulation.world import World

TERMINAL = "agent_completed"


def check(world: World) -> list[str]:
    """Everything that is wrong, each in one line."""
    problems: list[str] = []
    for client in world.clients:
        problems.extend(f"{client.user}: {problem}" for problem in client.problems)
        log = [json.loads(e.json) for e in world.disk.log(client.user) if e.json]
        shown = [e.json for e in world.disk.log(client.user) if not e.hidden]
        seqs = [e.seq for e in world.disk.log(client.user)]
        if seqs != list(range(1, len(seqs) + 1)):
            problems.append(f"{client.user}: the log has gaps or repeats: {seqs}")
        if client.events != [json.loads(e) for e in shown]:
            problems.append(f"{client.user}: saw {len(client.events)} events, not its log")
        problems.extend(f"{client.user}: {p}" for p in _grammar(client.events))
        problems.extend(f"{client.user}: {p}" for p in _commands(client, log))
        problems.extend(f"{client.user}: {p}" for p in _outside(world, log))
        problems.extend(f"{client.user}: {p}" for p in _order(world, log))
        other = [c.user for c in world.clients if c is not client]
        text = json.dumps(log)
        problems.extend(f"{client.user}: holds text of {o}" for o in other if f"{o} secret" in text)
        seen = " ".join(world.outside.memory.get(client.user, ()))
        problems.extend(f"{client.user}: agent saw {o}" for o in other if f"{o} secret" in seen)
    problems.extend(_projections(world))
    last = world.hosts[-1]
    if last._slots or last._waiters or last._engines:
        problems.append(f"left: {last._slots} slots, {last._waiters} waiters, {last._engines}")
    return problems


def _projections(world: World) -> list[str]:
    """Stored rows equal their recomputation from the log."""
    problems: list[str] = []
    for user, record in world.disk.users.items():
        rows = Rows()
        for entry in record.entries:
            apply(rows, decode(entry))
        for name in ("threads", "runs", "approvals", "receipts"):
            if getattr(rows, name) != getattr(record.rows, name):
                problems.append(f"{user}: the projection {name} is not the fold of the log")
    return problems


def _grammar(events: list[dict[str, Any]]) -> list[str]:
    problems: list[str] = []
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    active: set[str] = set()
    children: set[str] = set()
    for event in events:
        run_id = event["run_id"]
        if run_id is not None and event["type"] != "message_received":
            runs[run_id].append(event)
        if event["type"] == "agent_started":
            if event["data"]["parent_run_id"]:
                children.add(run_id)
            elif run_id not in children:
                active.add(run_id)
        if event["type"] == "approval_requested":
            active.discard(run_id)  # it may be parked: holds no slot
        if event["type"] == TERMINAL:
            active.discard(run_id)
    for run_id, found in runs.items():
        types = [e["type"] for e in found]
        if types[-1] != TERMINAL or types.count(TERMINAL) != 1:
            problems.append(f"run {run_id} has not one terminal at its end: {types}")
        started = types.count("agent_started")
        if started > 1 or (started == 0 and types not in ([TERMINAL], ["run_queued", TERMINAL])):
            problems.append(f"run {run_id} did not start once: {types}")
        begun = [e["data"]["call_id"] for e in found if e["type"] == "tool_executing"]
        ended = [e["data"]["call_id"] for e in found if e["type"] == "tool_completed"]
        if Counter(begun) != Counter(ended) or len(set(begun)) != len(begun):
            problems.append(f"run {run_id}: tools {begun} ended as {ended}")
        parts: dict[str, str] = {}
        for event in found:
            if event["type"] == "agent_output":
                data = event["data"]
                had = "" if data["restart"] else parts.get(data["part_id"], "")
                if len(had) != data["offset"]:
                    problems.append(f"run {run_id}: piece at {data['offset']}, had {len(had)}")
                parts[data["part_id"]] = had + data["text"]
        output = found[-1]["data"].get("output")
        if types[-1] == TERMINAL and "".join(parts.values()) != output:
            problems.append(f"run {run_id}: pieces {parts} are not the answer {output!r}")
        if "hunter2" in json.dumps(found):
            problems.append(f"run {run_id}: a secret is in its events")
    return problems


def _commands(client: Any, log: list[dict[str, Any]]) -> list[str]:
    problems: list[str] = []
    received = Counter(e["data"]["command_id"] for e in log if e["type"] == "message_received")
    settled = Counter(e["data"]["command_id"] for e in log if e["type"] == "command_settled")
    problems += [f"command {c} led to {n} messages" for c, n in received.items() if n != 1]
    problems += [f"command {c} was settled {n} times" for c, n in settled.items() if n != 1]
    for command_id, answer in client.answered.items():
        if "run" in answer and command_id.startswith("s") and received[command_id] != 1:
            problems.append(f"accepted {command_id} led to {received[command_id]} messages")
    return problems


def _outside(world: World, log: list[dict[str, Any]]) -> list[str]:
    """Finished tools ran once; what is ambiguous is said so; attempts were durable before code."""
    problems: list[str] = []
    ends = {e["data"]["call_id"]: e["data"] for e in log if e["type"] == "tool_completed"}
    attempts: Counter[str] = Counter(
        e["run_id"] for e in log if e["type"] in ("agent_started", "agent_resumed")
    )
    bodies: Counter[str] = Counter(
        e["data"]["call_id"]
        for e in log
        if e["type"] == "step_started" and e["data"]["kind"] == "tool" and e["data"]["attempt"]
    )
    for run_id, count in attempts.items():
        if world.outside.attempts[run_id] > count:
            problems.append(
                f"run {run_id} began its code {world.outside.attempts[run_id]} times, "
                f"the log knows of {count}"
            )
    for call_id, data in ends.items():
        entered = world.outside.entered[call_id]
        if entered > bodies[call_id]:
            problems.append(f"call {call_id} was entered {entered} times, {bodies[call_id]} known")
        if data["tool"] in ("charge", "send_mail", "slow") and entered > 1:
            problems.append(f"{data['tool']} {call_id} was entered {entered} times")
        if data["status"] == "ok" and not world.outside.finished[call_id]:
            problems.append(f"{data['tool']} {call_id} is ok, but never ended")
        if data["status"] == "denied" and entered:
            problems.append(f"{data['tool']} {call_id} was denied, but entered")
    return problems


def _order(world: World, log: list[dict[str, Any]]) -> list[str]:
    """Every attempt saw the completions in the order in which they are recorded."""
    problems: list[str] = []
    numbers: dict[str, str] = {}
    calls: dict[str, str] = {}
    done: dict[str, list[str]] = defaultdict(list)
    for entry in log:
        data = entry["data"]
        if entry["type"] == "tool_executing" and "query" in data["arguments"]:
            numbers[data["call_id"]] = data["arguments"]["query"].rsplit(" ", 1)[-1]
        elif entry["type"] == "step_started" and data["call_id"]:
            calls[json.dumps([entry["run_id"], data["key"]])] = data["call_id"]
        elif entry["type"] == "step_completed":
            call_id = calls.get(json.dumps([entry["run_id"], data["key"]]), "")
            if call_id in numbers and data["failed_status"] is None:
                done[entry["run_id"]].append(numbers[call_id])
    for run_id, orders in world.outside.releases.items():
        recorded = [n for n in done.get(run_id, ()) if n in {"0", "1", "2", "3"}][-4:]
        for order in orders:
            if order and run_id in done and order != recorded[: len(order)]:
                problems.append(f"run {run_id}: released {order}, recorded {recorded}")
    return problems
