"""What must be true at the end of every simulated history; independent of the engine's code."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from goldenpath.model.entries import decode
from goldenpath.model.ids import DeviceId
from goldenpath.model.journal import CommandSettled
from goldenpath.model.projections import Rows, apply
from tests.simulation.agents import talk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from goldenpath.model.entries import EncodedEntry
    from goldenpath.model.ids import UserId
    from tests.simulation.cluster import Cluster
    from tests.simulation.people import Device, User
    from tests.simulation.world import World

TERMINAL = "agent_completed"
_decode = msgspec.json.Decoder().decode


def check(world: World) -> list[str]:
    """Everything that is wrong, each in one line."""
    problems: list[str] = []
    cluster = world.cluster
    stopped = any(what.startswith("stop") for what in world.nemesis.injected)
    for user in world.users:
        others = [other.id for other in world.users if other is not user]
        found = _of_user(cluster, user, others, stopped)
        problems += [f"{user.id}: {problem}" for problem in found]
    problems.extend(_projections(cluster))
    problems.extend(
        f"nobody gave the lease of {user} back"
        for user, record in cluster.disk.users.items()
        if not cluster.lossy
        and record.holder in {m.host.host_id for m in cluster.machines if m.host is not None}
    )
    for machine in cluster.machines:
        host = machine.host
        if host is not None and (host._slots or host._waiters or host._engines):
            problems.append(
                f"{machine.name} keeps {host._slots} slots, {host._waiters}, {host._engines}"
            )
    return problems


def _of_user(cluster: Cluster, user: User, others: list[UserId], stopped: bool) -> Iterator[str]:
    log, written = cluster.disk.log(user.id), cluster.written.entries[user.id]
    truth = [_decode(e.json) for e in written]
    yield from user.problems
    yield from _sequence(log, written, cluster.written.epochs[user.id])
    for device in user.devices:
        yield from _view(device, log, truth, written, cluster.hidden_then.get(user.id, ()))
        acknowledged = cluster.disk.user(user.id).acks.get(DeviceId(device.name), 0)
        if acknowledged > device.acked:
            yield f"{device.name} acknowledged {device.acked}, the store has {acknowledged}"
    shown = [(t, e) for t, e in zip(truth, written, strict=True) if not e.internal]
    yield from _grammar([event for event, _ in shown])
    for event, entry in shown:
        if b"hunter2" in entry.json:
            yield f"run {event['run_id']}: a secret is in its events"
    if not cluster.lossy:  # what was answered, done outside or erased may be forgotten
        yield from _commands(user, truth)
        yield from _outside(cluster, truth)
        yield from _order(cluster, truth)
        yield from _erased(user, log, truth)
        yield from _forgotten(log, truth)
        yield from _approved(cluster, truth)
    yield from _hidden(user, log, truth)
    yield from _one_at_a_time(truth)
    yield from _fickle(truth)
    yield from _said(truth)
    if not stopped:  # then everything is late, also what ends a call that was given up
        yield from _heard_before_it_spoke(truth)
    text = b"".join(e.json for e in written).decode()
    seen = " ".join(cluster.outside.memory.get(user.id, ()))
    for other in others:
        if f"{other} secret" in text:
            yield f"holds text of {other}"
        if f"{other} secret" in seen:
            yield f"its agents saw text of {other}"


def _sequence(
    log: list[EncodedEntry], written: list[EncodedEntry], epochs: list[int]
) -> Iterator[str]:
    seqs = [e.seq for e in log]
    if seqs != list(range(1, len(seqs) + 1)) or seqs != [e.seq for e in written]:
        yield f"the log has gaps or repeats: {seqs}"
    if epochs != sorted(epochs):
        yield f"an older epoch wrote after a newer one: {epochs}"


def _view(
    device: Device,
    log: list[EncodedEntry],
    truth: list[dict[str, Any]],
    written: list[EncodedEntry],
    hidden_then: Collection[int],
) -> list[str]:
    """What a device saw is the log from where it began, but for what was hidden meanwhile.

    A database that was set back has again what was pruned or erased when it was read: as it was
    before, or since its host, which had not heard that it was written, has written it once more.
    """
    problems: list[str] = []
    cursor = device.cursor or 0
    for entry, then, now in zip(written, truth, log, strict=False):
        seen = device.events.get(entry.seq)
        if seen is None:
            expected = device.start < entry.seq <= cursor and not now.hidden
            if expected and entry.seq not in hidden_then:
                problems.append(f"{device.name} misses {entry.seq} ({entry.type})")
        elif entry.internal:
            problems.append(f"{device.name} saw {entry.seq}, which is internal")
        elif seen != then:
            problems.append(f"{device.name} saw {seen}, the log has {entry.json!r}")
    problems += [f"{device.name} saw {s}, which is not in the log" for s in device.events
                 if s > len(written)]  # fmt: skip
    return problems


def _erased(user: User, log: list[EncodedEntry], truth: list[dict[str, Any]]) -> list[str]:
    """Of a deleted thread nothing is left but that it was deleted."""
    return [
        f"{entry.seq} ({entry.type}) of the deleted thread {then['thread_id']} is still there"
        for entry, then in zip(log, truth, strict=False)
        if then["thread_id"] in user.deleted
        and entry.json
        and entry.type not in ("thread_deleted", "command_settled")
    ]


_MAY_BE_HIDDEN = frozenset(
    {"agent_output", "agent_thinking", "tool_progress", "step_started", "step_completed",
     "run_parked", "run_failure"}
)  # fmt: skip


def _forgets(entry: dict[str, Any]) -> bool:
    """True for the entry that settles the erasure of everything."""
    return entry["type"] == "command_settled" and entry["data"]["kind"] == "forget"


def _erased_upto(truth: list[dict[str, Any]]) -> int:
    return max((t["seq"] - 1 for t in truth if _forgets(t)), default=0)


def _forgotten(log: list[EncodedEntry], truth: list[dict[str, Any]]) -> list[str]:
    """Of what an erased user had nothing is left but numbers."""
    return [
        f"{entry.seq} ({entry.type}) outlived the erasure"
        for entry in log[: _erased_upto(truth)]
        if entry.json
    ]


def _hidden(user: User, log: list[EncodedEntry], truth: list[dict[str, Any]]) -> list[str]:
    """Pruning takes pieces and the journal, of runs that have ended; nothing else."""
    erased = _erased_upto(truth)
    ended = {t["run_id"] for t in truth if t["type"] == TERMINAL}
    return [
        f"{entry.seq} ({entry.type}) of {then['run_id']} is hidden"
        for entry, then in zip(log, truth, strict=False)
        if not entry.json
        and entry.seq > erased
        and then["thread_id"] not in user.deleted
        and (entry.type not in _MAY_BE_HIDDEN or then["run_id"] not in ended)
    ]


def _one_at_a_time(truth: list[dict[str, Any]]) -> list[str]:
    """Root runs of a thread follow one another."""
    problems: list[str] = []
    going: dict[str, str] = {}
    for entry in truth:
        thread, run_id = entry["thread_id"], entry["run_id"]
        if entry["type"] == "agent_started" and not entry["data"]["parent_run_id"]:
            if thread in going:
                problems.append(f"{run_id} began in {thread} while {going[thread]} was at work")
            going[thread] = run_id
        elif entry["type"] == TERMINAL and going.get(thread) == run_id:
            del going[thread]
    return problems


def _said(truth: list[dict[str, Any]]) -> list[str]:
    """Answers are what the agents wrote, once; nothing is thought twice."""
    problems: list[str] = []
    questions = {t["run_id"]: t["data"]["text"] for t in truth if t["type"] == "message_received"}
    agents = {t["run_id"]: t["data"]["agent"] for t in truth if t["type"] == "agent_started"}
    thoughts = Counter(
        (t["run_id"], t["data"]["text"]) for t in truth if t["type"] == "agent_thinking"
    )
    problems += [f"{run_id} thought {text!r} {n} times" for (run_id, text), n in thoughts.items()
                 if n > 1]  # fmt: skip
    for entry in truth:
        run_id, data = entry["run_id"], entry["data"]
        if entry["type"] == TERMINAL and data["status"] == "succeeded":
            if agents.get(run_id) == "talker" and run_id in questions:
                wanted = talk(questions[run_id])
                if data["output"] != wanted:
                    problems.append(f"{run_id} answered {data['output']!r}, not {wanted!r}")
    return problems


def _heard_before_it_spoke(truth: list[dict[str, Any]]) -> list[str]:
    """The impatient agent's call is over, or given up, before it writes."""
    agents = {t["run_id"]: t["data"]["agent"] for t in truth if t["type"] == "agent_started"}
    problems: list[str] = []
    calling: dict[str, str] = {}
    for entry in truth:
        run_id, kind = entry["run_id"], entry["type"]
        if kind == "tool_executing":
            calling[run_id] = entry["data"]["call_id"]
        elif kind == "tool_completed":
            calling.pop(run_id, None)
        elif kind == "agent_output" and agents.get(run_id) == "impatient" and run_id in calling:
            problems.append(f"{run_id} went on while its call {calling[run_id]} was open")
    return problems


def _approved(cluster: Cluster, truth: list[dict[str, Any]]) -> list[str]:
    """What asks for approval ran only with it."""
    asked: dict[str, str] = {}
    approved: set[str] = set()
    for entry in truth:
        data = entry["data"]
        if entry["type"] == "approval_requested" and data["call_id"]:
            asked[data["approval_id"]] = data["call_id"]
        elif entry["type"] == "approval_resolved" and data["decision"] == "approved":
            approved.add(asked.get(data["approval_id"], ""))
    return [
        f"call {call_id} was entered without its approval"
        for call_id in asked.values()
        if cluster.outside.entered[call_id] and call_id not in approved
    ]


def _fickle(truth: list[dict[str, Any]]) -> list[str]:
    """A run whose code went another way than what is recorded did not succeed."""
    picks: dict[str, set[str]] = defaultdict(set)
    for entry in truth:
        if entry["type"] == "step_completed":
            key = entry["data"]["key"]
            if "step pick" in key["name"]:
                picks[entry["run_id"]].add(str(key))
    return [
        f"run {entry['run_id']} succeeded with both of {sorted(picks[entry['run_id']])}"
        for entry in truth
        if entry["type"] == TERMINAL
        and entry["data"]["status"] == "succeeded"
        and len(picks[entry["run_id"]]) > 1
    ]


def _projections(cluster: Cluster) -> list[str]:
    """Stored rows equal their recomputation from what was written."""
    problems: list[str] = []
    for user, record in cluster.disk.users.items():
        rows = Rows()
        for entry in map(decode, cluster.written.entries[user]):
            if isinstance(entry.body, CommandSettled) and entry.body.kind == "forget":
                # A command is known for ever, but not what it said.
                receipts, rows = rows.receipts, Rows()
                rows.receipts = {k: replace(r, body_hash=None) for k, r in receipts.items()}
            apply(rows, entry)
        for name in ("threads", "runs", "approvals", "receipts"):
            if getattr(rows, name) != getattr(record.rows, name):
                problems.append(f"{user}: the projection {name} is not the fold of the log")
    return problems


def _grammar(events: list[dict[str, Any]]) -> list[str]:
    problems: list[str] = []
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["run_id"] is not None and event["type"] != "message_received":
            runs[event["run_id"]].append(event)
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
    return problems


def _commands(user: User, log: list[dict[str, Any]]) -> list[str]:
    problems: list[str] = []
    received = Counter(e["data"]["command_id"] for e in log if e["type"] == "message_received")
    settled = Counter(e["data"]["command_id"] for e in log if e["type"] == "command_settled")
    problems += [f"command {c} led to {n} messages" for c, n in received.items() if n != 1]
    problems += [f"command {c} was settled {n} times" for c, n in settled.items() if n != 1]
    runs = {e["data"]["command_id"]: e["run_id"] for e in log if e["type"] == "message_received"}
    for command_id, answer in user.answered.items():
        if command_id in runs and "run" in answer and answer["run"] != runs[command_id]:
            problems.append(f"{command_id} is {runs[command_id]}, the answer was {answer}")
        if "run" in answer and command_id.startswith("s") and received[command_id] != 1:
            problems.append(f"accepted {command_id} led to {received[command_id]} messages")
    return problems


def _outside(cluster: Cluster, log: list[dict[str, Any]]) -> list[str]:
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
        if cluster.outside.attempts[run_id] > count:
            problems.append(
                f"run {run_id} began its code {cluster.outside.attempts[run_id]} times, "
                f"the log knows of {count}"
            )
    for call_id, data in ends.items():
        entered = cluster.outside.entered[call_id]
        if entered > bodies[call_id]:
            problems.append(f"call {call_id} was entered {entered} times, {bodies[call_id]} known")
        if data["tool"] in ("charge", "send_mail", "slow") and entered > 1:
            problems.append(f"{data['tool']} {call_id} was entered {entered} times")
        if data["status"] == "ok" and not cluster.outside.finished[call_id]:
            problems.append(f"{data['tool']} {call_id} is ok, but never ended")
        if data["status"] == "denied" and entered:
            problems.append(f"{data['tool']} {call_id} was denied, but entered")
    return problems


def _order(cluster: Cluster, log: list[dict[str, Any]]) -> list[str]:
    """Every attempt saw the completions in the order in which they are recorded."""
    problems: list[str] = []
    numbers: dict[str, str] = {}
    calls: dict[tuple[str, ...], str] = {}
    done: dict[str, list[str]] = defaultdict(list)
    for entry in log:
        data = entry["data"]
        if entry["type"] == "tool_executing" and "query" in data["arguments"]:
            numbers[data["call_id"]] = data["arguments"]["query"].rsplit(" ", 1)[-1]
        elif entry["type"] == "step_started" and data["call_id"]:
            calls[entry["run_id"], *data["key"].values()] = data["call_id"]
        elif entry["type"] == "step_completed":
            call_id = calls.get((entry["run_id"], *data["key"].values()), "")
            if call_id in numbers and data["failed_status"] is None:
                done[entry["run_id"]].append(numbers[call_id])
    for run_id, orders in cluster.outside.releases.items():
        recorded = [n for n in done.get(run_id, ()) if n in {"0", "1", "2", "3"}][-4:]
        for order in orders:
            if order and run_id in done and order != recorded[: len(order)]:
                problems.append(f"run {run_id}: released {order}, recorded {recorded}")
    return problems
