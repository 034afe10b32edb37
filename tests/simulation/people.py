"""Simulated users and their devices: they send, read, drop, return elsewhere, and lie."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec

from goldenpath.errors import RefusedError
from goldenpath.model.commands import DeleteThread, Forget
from goldenpath.model.ids import CommandId, ThreadId, UserId
from tests.simulation.cluster import Cluster, Machine
from tests.simulation.network import Broken, Link

AGENTS = (
    "talker", "worker", "parallel", "waiter", "parent", "raiser", "hanger", "silent", "fickle",
    "impatient",
)  # fmt: skip
PATIENCE = 3.0
"""What a device gives a silent connection while it waits for something."""
AGAIN = 2.0
"""When it sends a command again that was not answered."""
LATER = frozenset({"unavailable", "rate_limited", "queue_full"})


class User:
    """What a person wants and knows, over all devices. It outlives every process."""

    def __init__(self, user: UserId, cluster: Cluster, rng: random.Random, wanted: int) -> None:
        self.id = user
        self.cluster = cluster
        self.rng = rng
        self.wanted = wanted
        self.unanswered: dict[str, dict[str, Any]] = {}
        self.answered: dict[str, dict[str, Any]] = {}
        self.threads: list[str] = []
        self.deleted: list[str] = []
        self.problems: list[str] = []
        self.devices: list[Device] = []
        self._seen: set[int] = set()
        self._made = 0

    def done(self) -> bool:
        """True when everything that was wanted has been answered."""
        return self._made >= self.wanted and not self.unanswered

    async def live(self) -> None:
        """Ask for things, now and then."""
        while self._made < self.wanted:
            await asyncio.sleep(self.rng.random() * 1.5)
            self._ask()

    def _ask(self) -> None:
        self._made += 1
        if self.threads and self.rng.random() < 0.12:
            thread = self.rng.choice(self.threads)
            self.threads.remove(thread)
            asyncio.get_running_loop().create_task(
                self._over_http(DeleteThread(thread_id=ThreadId(thread)))
            )
            return
        if self.rng.random() < 0.04:
            asyncio.get_running_loop().create_task(self._over_http(Forget()))
            return
        thread = self.rng.choice([None, *self.threads[-2:]])
        text = f"{self.id} secret {self._made} {self.rng.choice(['', 'provider'])}"
        self.want(
            "s",
            {
                "type": "send",
                "thread_id": thread,
                "text": text,
                "agent": self.rng.choice(AGENTS),
                "when_busy": self.rng.choice(["queue", "queue", "reject", "interrupt"]),
            },
        )

    def want(self, kind: str, frame: dict[str, Any]) -> None:
        """Have a command sent until it is answered."""
        command_id = f"{kind}{self.rng.getrandbits(48):x}"
        self.unanswered[command_id] = {**frame, "id": command_id}
        self.rng.choice(self.devices).push()

    async def _over_http(self, command: DeleteThread | Forget) -> None:
        """Ask any host, again with the same id until it is answered."""
        asked = f"x{self.rng.getrandbits(48):x}"
        self.unanswered[asked] = {}
        while asked in self.unanswered:
            able = [m for m in self.cluster.machines if m.service is not None]
            if able:
                machine = self.rng.choice(able)
                assert machine.process is not None
                machine.process.spawn(self._request(machine, asked, command))
            await asyncio.sleep(AGAIN)

    async def _request(self, machine: Machine, asked: str, command: DeleteThread | Forget) -> None:
        if machine.host is None:
            return  # it stopped serving just now
        try:
            await machine.host.submit(self.id, CommandId(asked), command)
        except RefusedError as error:
            if error.code not in LATER:
                self.answer(asked, {"error": error.code})
            return
        self.answer(asked, {})
        if isinstance(command, DeleteThread):
            self.deleted.append(command.thread_id)
        else:
            self.cluster.note(f"{self.id} is forgotten")
            self.threads.clear()

    # -- what devices hear ---------------------------------------------------------------------

    def answer(self, command_id: str, answer: dict[str, Any]) -> None:
        """A command was accepted, or refused for good: always with the same words."""
        self.unanswered.pop(command_id, None)
        before = self.answered.setdefault(command_id, answer)
        # A refusal for now is kept for an hour, and ends when the id is sent again.
        if self.cluster.lossy:
            return
        if before != answer and "busy" not in (before.get("error"), answer.get("error")):
            self.problems.append(f"{command_id} was answered {before}, then {answer}")

    def accepted(self, frame: dict[str, Any]) -> None:
        thread = frame["thread_id"]
        if thread is not None and thread not in self.threads and thread not in self.deleted:
            self.threads.append(thread)
        self.answer(frame["id"], {"run": frame["run_id"], "seq": frame["seq"]})

    def refused(self, frame: dict[str, Any]) -> None:
        code = frame["error"]["code"]
        if code not in LATER:
            self.answer(frame["id"], {"error": code})

    def saw(self, event: dict[str, Any]) -> None:
        """The first device that sees an event acts on it."""
        if event["seq"] in self._seen:
            return
        self._seen.add(event["seq"])
        kind, run_id = event["type"], event["run_id"]
        if kind == "thread_deleted":
            self.threads = [t for t in self.threads if t != event["thread_id"]]
        elif kind == "approval_requested" and self.rng.random() < 0.7:
            decision = "approve" if self.rng.random() < 0.6 else "deny"
            approval = event["data"]["approval_id"]
            self.want("d", {"type": "decide", "approval_id": approval, "decision": decision})
        elif kind == "agent_started" and self.rng.random() < 0.08:
            self.want("c", {"type": "cancel", "run_id": run_id})


class Device:
    """A cursor on the user's log, and a socket to whichever host it gets."""

    def __init__(self, user: User, number: int, *, origin: bool) -> None:
        self.user = user
        self.name = f"{user.id}-{number}"
        self.mark: str | None = "0" if origin else None
        self.cursor: int | None = 0 if origin else None
        """None: it begins at the head, wherever that is."""
        self.start = 0
        """It has everything after this seq."""
        self.events: dict[int, dict[str, Any]] = {}
        self.acked = 0
        self.slow = user.rng.random() < 0.2
        self._link: Link | None = None
        self._sent: dict[str, float] = {}
        self._lied = False
        self.stopped = False

    async def live(self) -> None:
        """Connect, read, lose the connection, and again."""
        rng, cluster = self.user.rng, self.user.cluster
        if self.cursor is None:
            await asyncio.sleep(rng.random() * 4)  # a second tab, in the middle of something
        while not self.stopped:
            link = cluster.connect(self.user.id, rng)
            if link is None:
                await asyncio.sleep(0.2)
                continue
            self._link, self._sent = link, {}
            try:
                await self._session(link)
            except Broken:
                pass
            finally:
                self._link = None
                link.cut()
            await asyncio.sleep(rng.random() * 0.3)

    async def _session(self, link: Link) -> None:
        rng = self.user.rng
        link.write(_encode(self._hello()))
        quiet = 0
        healthy = not self.user.cluster.rate
        while not self.stopped:
            head = self.user.cluster.disk.head(self.user.id) if healthy else 0
            text = await link.read(PATIENCE if self._expects() else None)
            if text is None:
                quiet += 1
                if healthy and self.cursor is not None and self.cursor < head:
                    self._wrong(f"heard nothing for {PATIENCE} s at {self.cursor} of {head}")
                if quiet > 1 or rng.random() < 0.3:
                    return  # somewhere else, perhaps
                self.push()
                continue
            quiet = 0
            if self._take(msgspec.json.decode(text), link):
                return
            if self.user.cluster.rate:
                if rng.random() < 0.02:
                    return
                if self.slow and rng.random() < 0.3:
                    await asyncio.sleep(rng.random())

    def _expects(self) -> bool:
        return not (self.user.done() and self.read_all())

    def read_all(self) -> bool:
        """True if it stands at the head, and of the log that there is now."""
        record = self.user.cluster.disk.user(self.user.id)
        head = record.head
        return self.cursor == head and self.mark == record.mark_at(head)

    def _hello(self) -> dict[str, Any]:
        rng = self.user.rng
        hello: dict[str, Any] = {"type": "hello", "device": self.name, "cursor": self.cursor}
        if self.cursor is not None:
            hello["mark"] = self.mark
        self._lied = self.user.cluster.rate > 0 and rng.random() < 0.03
        if self._lied:
            hello |= {"cursor": rng.randrange(1, 10_000), "mark": self.mark or "0"}
        return hello

    def push(self) -> None:
        """Send what was not answered, now and again."""
        link, rng = self._link, self.user.rng
        if link is None or self.mark is None:
            return
        now = asyncio.get_running_loop().time()
        for command_id, frame in list(self.user.unanswered.items()):
            if frame and now - self._sent.get(command_id, -AGAIN) >= AGAIN:
                self._sent[command_id] = now
                for _ in range(2 if rng.random() < 0.1 else 1):
                    link.write(_encode(frame))
                if rng.random() < 0.03:  # whoever does not wait for the answer gets it all the same
                    del self.user.unanswered[command_id]

    def _take(self, frame: dict[str, Any], link: Link) -> bool:
        """Take a frame; True if the connection is over."""
        match frame["type"]:
            case "welcome":
                self._welcome(frame)
                self.push()
            case "events":
                self._events(frame)
                if self.user.rng.random() < 0.3:
                    self.acked = max(self.acked, self.cursor or 0)
                    link.write(_encode({"type": "ack", "cursor": self.cursor}))
            case "accepted":
                self.user.accepted(frame)
            case "refused":
                if frame["id"] is None:
                    self._wrong(f"a frame was refused: {frame}")
                else:
                    self.user.refused(frame)
            case "goodbye":
                return True
            case other:
                self._wrong(f"an unknown frame: {other}")
        return False

    def _wrong(self, what: str) -> None:
        self.user.problems.append(f"{self.name}: {what}")

    def _welcome(self, frame: dict[str, Any]) -> None:
        may_reset = self._lied or self.user.cluster.lossy
        if frame["reset"] and not may_reset:
            self._wrong(f"reset at {self.cursor} of {self.mark}: {frame}")
        if not (self._lied or frame["reset"]) and self.cursor is not None:
            if (frame["cursor"], frame["mark"]) != (self.cursor, self.mark):
                self._wrong(f"welcomed at {frame['cursor']}, asked for {self.cursor}")
            return
        # A device that begins anew: what it had is forgotten.
        self.cursor, self.mark = frame["cursor"], frame["mark"]
        self.start = frame["cursor"]
        self.events.clear()

    def _events(self, frame: dict[str, Any]) -> None:
        begin, end, events = frame["from"], frame["to"], frame["events"]
        if begin != self.cursor:
            self._wrong(f"a frame from {begin}, the cursor is {self.cursor}")
        if end - begin != len(events) + frame["hidden"]:
            self._wrong(f"frame {begin}..{end}: {len(events)} events, hidden {frame['hidden']}")
        last = begin
        for event in events:
            seq = event["seq"]
            if not last < seq <= end:
                self._wrong(f"event {seq} after {last} in frame {begin}..{end}")
            last = seq
            self.events[seq] = event
            self.user.cluster.note(self.name, "sees", seq, event["type"], event["run_id"])
            self.user.saw(event)
        self.cursor, self.mark = end, frame["mark"]


def _encode(frame: dict[str, Any]) -> str:
    return msgspec.json.encode(frame).decode()
