"""Stores that are broken on purpose, and for each the clauses that must find it.

Each breaks one thing as somebody might: a check forgotten, an order changed, a shortcut taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from goldenpath.errors import StoreRefusedError, StoreUnavailableError
from goldenpath.model.entries import EncodedEntry
from goldenpath.model.ids import ORIGIN_MARK, Mark, RunId, Seq
from goldenpath.store.chunks import owners
from goldenpath.store.interface import (
    Batch,
    Claim,
    Notice,
    StoreStatus,
    Submission,
    UndeliveredAnswer,
)
from goldenpath.testing.memory_store import MemoryStore, MemoryWatch

BROKEN: dict[type[MemoryStore], str] = {}
"""Each broken store, and the clause that it does not keep."""


def breaks(clause: str) -> Callable[[type[MemoryStore]], type[MemoryStore]]:
    def register(store: type[MemoryStore]) -> type[MemoryStore]:
        BROKEN[store] = clause
        return store

    return register


@breaks("A4")
class Lossy(MemoryStore):
    async def append(self, append: Any) -> None:
        await super().append(append)
        record = self.disk.user(append.user)
        if len(record.entries) > 3:
            last = record.entries[-1]
            record.entries[-1] = EncodedEntry(last.seq, last.type, last.internal, b"")


@breaks("R1")
class Reordering(MemoryStore):
    async def read(self, *args: Any, **kwargs: Any) -> Batch:
        b = await super().read(*args, **kwargs)
        return replace(b, events=b.events[::-1])


@breaks("A3")
class DoubleAppending(MemoryStore):
    async def append(self, append: Any) -> None:
        record = self.disk.users.get(append.user)
        if record is not None:
            record.last_append = None
            if record.head > append.head:
                self.disk.users[append.user].entries.extend(append.entries)
                return
        await super().append(append)


@breaks("L2")
class ForgetsTheEpoch(MemoryStore):
    async def append(self, append: Any) -> None:
        record = self.disk.users.get(append.user)
        if record is not None:
            append = replace(append, epoch=record.epoch)
        await super().append(append)


@breaks("A1")
class ForgetsTheMark(MemoryStore):
    async def append(self, append: Any) -> None:
        record = self.disk.users.get(append.user)
        if record is not None:
            append = replace(append, mark=record.mark)
        await super().append(append)


@breaks("A1")
class ForgetsTheHead(MemoryStore):
    async def append(self, append: Any) -> None:
        record = self.disk.users.get(append.user)
        if record is not None:
            moved = [
                EncodedEntry(record.head + n, e.type, e.internal, e.json)
                for n, e in enumerate(append.entries, 1)
            ]
            append = replace(append, head=Seq(record.head), entries=moved)
        await super().append(append)


@breaks("A4")
class WakesWithoutData(MemoryStore):
    async def append(self, append: Any) -> None:
        self._notify(append.user)
        entries = append.entries
        await super().append(append)
        if entries and self.disk.user(append.user).head % 7 == 0:
            del self.disk.user(append.user).entries[-1]


@breaks("R6")
class DataWithoutWaking(MemoryStore):
    def _notify(self, user: Any) -> None:
        return None


@breaks("R2")
class HiddenBySubtraction(MemoryStore):
    async def read(self, *args: Any, **kwargs: Any) -> Batch:
        b = await super().read(*args, **kwargs)
        events = b.events[:2]
        return replace(b, hidden=b.to - b.from_ - len(events), events=events)


@breaks("S4")
class InboxByCursor(MemoryStore):
    async def append(self, append: Any) -> None:
        await super().append(append)
        record = self.disk.user(append.user)
        done = [e for e in append.entries if e.type == "command_settled"]
        for name in list(record.inbox)[: len(done)]:
            del record.inbox[name]


@breaks("S1")
class ForgetsReceipts(MemoryStore):
    async def submit(self, user: Any, command_id: Any, body: bytes, now_ms: int) -> Submission:
        self.disk.user(user).rows.receipts.pop(command_id, None)
        return await super().submit(user, command_id, body, now_ms)


@breaks("P2")
class AnswersForeignIds(MemoryStore):
    async def run(self, user: Any, run_id: Any) -> Any:
        for record in self.disk.users.values():
            if run_id in record.rows.runs:
                return record.rows.runs[run_id]
        return None


@breaks("K1")
class AcksGoBack(MemoryStore):
    async def acknowledge(self, user: Any, device: Any, position: Any, devices: int = 50) -> None:
        self.disk.user(user).check(position)
        self.disk.user(user).acks[device] = position.cursor


@breaks("E3")
class PruneRemovesSeqs(MemoryStore):
    async def prune(self, *args: Any, **kwargs: Any) -> int:
        done = await super().prune(*args, **kwargs)
        for record in self.disk.users.values():
            record.entries = [e for e in record.entries if e.json]
        return done


@breaks("A2")
class HalfAnAppend(MemoryStore):
    async def append(self, append: Any) -> None:
        await super().append(append)
        if len(append.entries) == 2 and append.entries[1].internal:
            del self.disk.user(append.user).entries[-1]


@breaks("S5")
class RefusalsStay(MemoryStore):
    async def submit(self, user: Any, command_id: Any, body: bytes, now_ms: int) -> Submission:
        row = self.disk.user(user).inbox.get(command_id)
        if row is not None and row.refusal is not None:
            return Submission("waiting")
        return await super().submit(user, command_id, body, now_ms)


@breaks("R4")
class AnyPositionWillDo(MemoryStore):
    async def read(self, user: Any, position: Any, *args: Any, **kwargs: Any) -> Batch:
        if position.cursor > self.disk.user(user).head:
            position = type(position)(ORIGIN_MARK, Seq(0))
        return await super().read(user, position, *args, **kwargs)


@breaks("D2")
class DueIsForgotten(MemoryStore):
    async def append(self, append: Any) -> None:
        await super().append(replace(append, due_ms=None))


@breaks("L3")
class LeaseForAll(MemoryStore):
    async def acquire(self, user: Any, host: Any, mark: Any) -> Any:
        record = self.disk.users.get(user)
        if record is not None:
            record.holder = None
        return await super().acquire(user, host, mark)


@breaks("R6")
class LosesWakeUps(MemoryStore):
    """Waiting begins with forgetting what came before."""

    def watch(self, user: Any) -> Any:
        return _ForgetfulWatch(self.disk, user, None)


class _ForgetfulWatch(MemoryWatch):
    async def wait(self) -> None:
        self._event.clear()
        await super().wait()


@breaks("R6")
class WakesOneReaderOnly(MemoryStore):
    def _notify(self, user: Any) -> None:
        for watch in list(self.disk.watches.get(user, ()))[:1]:
            watch.notify()


@breaks("R6")
class SubmitsDoNotWake(MemoryStore):
    async def submit(self, *args: Any, **kwargs: Any) -> Submission:
        watches, self.disk.watches = self.disk.watches, {}
        try:
            return await super().submit(*args, **kwargs)
        finally:
            self.disk.watches = watches


@breaks("L5")
class MarksRepeat(MemoryStore):
    """Marks made of the epoch: a restored store gives the same ones again."""

    async def acquire(self, user: Any, host: Any, mark: Any) -> Any:
        record = self.disk.users.get(user)
        return await super().acquire(user, host, Mark(f"m{record.epoch + 1 if record else 1}"))


@breaks("L1")
class EpochsBeginAgain(MemoryStore):
    """The epoch is kept in memory only."""

    def __init__(self, disk: Any = None) -> None:
        super().__init__(disk)
        for record in self.disk.users.values():
            record.epoch = 0


@breaks("A3")
class AppliesAnIdTwice(MemoryStore):
    """The last append's id is forgotten with the activation."""

    async def acquire(self, *args: Any, **kwargs: Any) -> Any:
        activation = await super().acquire(*args, **kwargs)
        self.disk.user(args[0]).last_append = None
        return activation


@breaks("A3")
class RemembersEveryAppend(MemoryStore):
    """What was refused once is answered as if it had been applied."""

    async def append(self, append: Any) -> None:
        seen = self.__dict__.setdefault("seen", set())
        if (append.user, append.append_id) in seen and append.head < self.disk.head(append.user):
            return
        seen.add((append.user, append.append_id))
        await super().append(append)


@breaks("A4")
class AppendsAreLostInACrash(MemoryStore):
    """The last append is not durable when it returns."""

    def __init__(self, disk: Any = None) -> None:
        super().__init__(disk)
        for record in self.disk.users.values():
            del record.entries[-1:]


@breaks("S1")
class InboxIsLostInACrash(MemoryStore):
    def __init__(self, disk: Any = None) -> None:
        super().__init__(disk)
        for record in self.disk.users.values():
            record.inbox.clear()


@breaks("S3")
class NewestCommandFirst(MemoryStore):
    async def pending(self, user: Any) -> Any:
        return (await super().pending(user))[::-1]


@breaks("S2")
class AnyBodyWillDo(MemoryStore):
    async def submit(self, user: Any, command_id: Any, body: bytes, now_ms: int) -> Submission:
        row = self.disk.user(user).inbox.get(command_id)
        return await super().submit(
            user, command_id, body if row is None else row.command.body, now_ms
        )


@breaks("S4")
class RefusedAppendHalfApplied(MemoryStore):
    """What the append says of commands is done before it is checked."""

    async def append(self, append: Any) -> None:
        for refusal in append.refused:
            row = self.disk.user(append.user).inbox.get(refusal.command_id)
            if row is not None:
                row.refusal, row.refused_ms = refusal, append.now_ms
        await super().append(append)


@breaks("A6")
class EmptyAppendsAreNothing(MemoryStore):
    async def append(self, append: Any) -> None:
        if append.entries:
            await super().append(append)


@breaks("R2")
class SkipsWhatIsHidden(MemoryStore):
    """`hidden` counts the journal only, not what was pruned or erased."""

    async def read(self, user: Any, position: Any, *args: Any, **kwargs: Any) -> Batch:
        b = await super().read(user, position, *args, **kwargs)
        inside = self.disk.user(user).entries[b.from_ : b.to]
        return replace(b, hidden=sum(e.internal for e in inside))


@breaks("R5")
class TheNewestMarkForAll(MemoryStore):
    async def read(self, user: Any, *args: Any, **kwargs: Any) -> Batch:
        b = await super().read(user, *args, **kwargs)
        return replace(b, mark=self.disk.user(user).mark)


@breaks("R9")
class ABatchIsAll(MemoryStore):
    """A batch says that nothing is behind it, when its bounds ended it."""

    async def read(self, *args: Any, **kwargs: Any) -> Batch:
        return replace(await super().read(*args, **kwargs), more=False)


@breaks("R8")
class NoBoundOnBytes(MemoryStore):
    async def read(self, user: Any, position: Any, limit: int = 1000, *_: Any, **__: Any) -> Batch:
        return await super().read(user, position, limit, 1 << 40)


@breaks("L4")
class AnyoneMayRelease(MemoryStore):
    async def release(self, user: Any, epoch: int) -> None:
        await super().release(user, self.disk.user(user).epoch)


@breaks("L6")
class HeldByAnybody(MemoryStore):
    async def held(self, host: Any) -> Any:
        return {u: r.epoch for u, r in self.disk.users.items() if r.holder is not None}


@breaks("L6")
class HeldUnderTheFirstEpoch(MemoryStore):
    async def held(self, host: Any) -> Any:
        return dict.fromkeys(await super().held(host), 1)


@breaks("L7")
class HostsAsTheyBegan(MemoryStore):
    """What a host says later of itself is not heard."""

    async def renew(self, host: Any, report: Any) -> Any:
        known = self.disk.hosts.get(host)
        return await super().renew(host, report if known is None else known.report)


@breaks("D3")
class DemandOfOthers(MemoryStore):
    """Every host is sent to everybody who waits."""

    async def demand(self, now_ms: int, limit: int = 1000, host: Any = None) -> Any:
        return await super().demand(now_ms, limit)


@breaks("D3")
class OwnUsersAreNoDemand(MemoryStore):
    """A command that another host accepted is not found."""

    async def demand(self, now_ms: int, limit: int = 1000, host: Any = None) -> Any:
        found = await super().demand(now_ms, limit, host)
        return [u for u in found if host is None or self.disk.user(u).holder != host]


@breaks("D1")
class DemandOfTheRefused(MemoryStore):
    """Refused commands count as waiting."""

    async def demand(self, now_ms: int, limit: int = 1000, host: Any = None) -> Any:
        found = await super().demand(now_ms, limit, host)
        return found + [u for u, r in self.disk.users.items() if r.inbox and u not in found]


@breaks("P3")
class PagesWithTheLastItem(MemoryStore):
    """`before` is taken as inclusive."""

    async def history(self, user: Any, thread_id: Any, limit: int, before: Any) -> Any:
        return await super().history(user, thread_id, limit, before and before + 1)


@breaks("P1")
class RowsAreForgottenInACrash(MemoryStore):
    def __init__(self, disk: Any = None) -> None:
        super().__init__(disk)
        for record in self.disk.users.values():
            record.rows.approvals.clear()


@breaks("K3")
class FetchedIsAll(MemoryStore):
    """One answer that was read counts for everything before it."""

    async def fetched(self, user: Any, run_ids: Sequence[RunId]) -> None:
        runs = self.disk.user(user).rows.runs
        ended = [runs[one].last_seq for one in run_ids if one in runs]
        upto = max((one for one in ended if one is not None), default=0)
        await super().fetched(
            user, [r.run_id for r in runs.values() if (r.last_seq or upto + 1) <= upto]
        )


@breaks("K2")
class ChildrenAreAnswers(MemoryStore):
    async def undelivered(self, limit: int = 1000) -> Any:
        found = await super().undelivered(limit)
        for user, record in self.disk.users.items():
            for row in record.rows.runs.values():
                if row.parent_run_id is not None and row.last_seq is not None:
                    found.append(_undelivered(user, row))
        return found


@breaks("E1")
class ErasesTheTitleOnly(MemoryStore):
    """The rows go, the entries stay."""

    def _erase(self, record: Any, thread_id: Any) -> None:
        return None


@breaks("E1")
class ErasesEveryone(MemoryStore):
    async def append(self, append: Any) -> None:
        await super().append(append)
        if append.erase_user:
            for record in self.disk.users.values():
                self._erase(record, None)


@breaks("E1")
class KeepsBodyHashes(MemoryStore):
    """An erased command is still told from another one."""

    async def append(self, append: Any) -> None:
        before = dict(self.disk.user(append.user).rows.receipts)
        await super().append(append)
        self.disk.user(append.user).rows.receipts.update(before)


@breaks("E1")
class RefusalsOutliveTheirUser(MemoryStore):
    """Whoever was erased can still be asked whether this was their text."""

    @staticmethod
    def _forget_refusals(record: Any) -> None:
        return None


@breaks("E1")
class ErasesWhatWaits(MemoryStore):
    """The inbox goes with the rest, though nobody has answered it."""

    @staticmethod
    def _forget_refusals(record: Any) -> None:
        record.inbox.clear()


@breaks("E2")
class TitlesOutliveTheirRuns(MemoryStore):
    """Retention takes runs only: the first words of a question stay as a title."""

    def _erase_unused(self, before_ms: int, limit: int) -> int:
        return 0


@breaks("E2")
class ThreadsGoFromTheListOnly(MemoryStore):
    """Titles stay in the log."""

    def _erase_unused(self, before_ms: int, limit: int) -> int:
        logs = {user: list(record.entries) for user, record in self.disk.users.items()}
        done = super()._erase_unused(before_ms, limit)
        for user, entries in logs.items():
            self.disk.users[user].entries = entries
        return done


@breaks("E2")
class HashesOutliveTheirThreads(MemoryStore):
    """What was asked of a thread can still be told from something else."""

    def _erase_unused(self, before_ms: int, limit: int) -> int:
        known = {user: dict(record.rows.receipts) for user, record in self.disk.users.items()}
        done = super()._erase_unused(before_ms, limit)
        for user, receipts in known.items():
            self.disk.users[user].rows.receipts.update(receipts)
        return done


@breaks("E2")
class ThreadsThatWereNeverUsedStay(MemoryStore):
    """Only what ended is looked at."""

    @staticmethod
    def _unused(rows: Any, before_ms: int) -> Any:
        unused = MemoryStore._unused(rows, before_ms)
        return [one for one in unused if rows.threads[one].agent is not None]


@breaks("E2")
class OldThreadsGoThoughTheyAreUsed(MemoryStore):
    @staticmethod
    def _unused(rows: Any, before_ms: int) -> Any:
        return [one for one, row in rows.threads.items() if row.created_ms < before_ms]


@breaks("E2")
class YoungThreadsGo(MemoryStore):
    """A thread that somebody made a moment ago is gone before the first question."""

    @staticmethod
    def _unused(rows: Any, before_ms: int) -> Any:
        return MemoryStore._unused(rows, 1 << 60)


@breaks("E2")
class ThreadsWithoutABound(MemoryStore):
    """Years of threads go in one step."""

    def _erase_unused(self, before_ms: int, limit: int) -> int:
        return super()._erase_unused(before_ms, 1 << 60)


@breaks("E2")
class ThreadsComeBack(MemoryStore):
    """Whoever writes the log brings the row along as it was known."""

    async def append(self, append: Any) -> None:
        known = self.__dict__.setdefault("known", {})
        await super().append(append)
        threads = self.disk.user(append.user).rows.threads
        for entry in append.entries:
            if (row := known.get(owners(entry)[0])) is not None:
                threads.setdefault(row.thread_id, row)
        known.update(threads)


@breaks("E2")
class PrunesOpenRuns(MemoryStore):
    async def prune(self, before_ms: int, *, everything: bool = False, limit: int = 100) -> int:
        done = await super().prune(before_ms, everything=everything, limit=limit)
        for record in self.disk.users.values():
            for index, entry in enumerate(record.entries):
                if entry.type == "agent_output":
                    self._hide(record, index)
        return done


@breaks("E2")
class PrunesTheRootOnly(MemoryStore):
    @staticmethod
    def _tree(rows: Any, root: Any) -> set[RunId]:
        return {root.run_id}


@breaks("E2")
class PrunesTheMarks(MemoryStore):
    """The entries' marks go with the entries."""

    async def prune(self, *args: Any, **kwargs: Any) -> int:
        done = await super().prune(*args, **kwargs)
        for record in self.disk.users.values():
            record.marks = record.marks[-1:] if done > 1 else []
        return done


@breaks("B1")
class BackupOfHalf(MemoryStore):
    """The log is copied before the rest."""

    async def backup(self, target: Any) -> None:
        logs = {user: list(record.entries) for user, record in self.disk.users.items()}
        await asyncio.sleep(0)
        now = {user: record.entries for user, record in self.disk.users.items()}
        for user, entries in logs.items():
            self.disk.users[user].entries = entries[:-1]
        await super().backup(target)
        for user, entries in now.items():
            self.disk.users[user].entries = entries


@breaks("B2")
class SaysThatAllIsWell(MemoryStore):
    """A full disk is not told."""

    def status(self) -> StoreStatus:
        return StoreStatus(writable=True)


@breaks("B2")
class NeverComesBack(MemoryStore):
    """Once it could not write it never does again, without a restart."""

    def _write(self, user: Any) -> Any:
        try:
            return super()._write(user)
        except StoreUnavailableError:
            self.dead = True
            raise


@breaks("B2")
class WritesThatAreDropped(MemoryStore):
    """A full disk takes everything and keeps nothing."""

    async def append(self, append: Any) -> None:
        if self.disk.writable:
            await super().append(append)


def _undelivered(user: Any, row: Any) -> UndeliveredAnswer:
    return UndeliveredAnswer(user=user, run=row)


@breaks("A5")
class AGroupFailsTogether(MemoryStore):
    """What comes with a refused append is refused, too."""

    async def append(self, append: Any) -> None:
        refused = self.__dict__.get("refused")
        if refused is not None and refused != append.user:
            del self.__dict__["refused"]
            raise StoreRefusedError("the group was rolled back")
        await asyncio.sleep(0)
        try:
            await super().append(append)
        except StoreRefusedError:
            self.__dict__["refused"] = append.user
            raise


@breaks("R3")
class ReadsAreBehind(MemoryStore):
    """A reader gets what was there when the last append began."""

    async def append(self, append: Any) -> None:
        heads = self.__dict__.setdefault("heads", {})
        heads[append.user] = self.disk.head(append.user)
        await super().append(append)

    async def read(self, user: Any, position: Any, limit: int = 1000, *rest: Any, **k: Any) -> Any:
        known = self.__dict__.get("heads", {}).get(user, self.disk.head(user))
        return await super().read(user, position, min(limit, known - position.cursor), *rest, **k)


@breaks("R7")
class WaitsForReaders(MemoryStore):
    """An append returns when every reader has been woken and looks."""

    async def append(self, append: Any) -> None:
        await super().append(append)
        while any(w._event.is_set() for w in self.disk.watches.get(append.user, ())):
            await asyncio.sleep(0.001)


@breaks("K4")
class ClaimsAreNotKept(MemoryStore):
    """Every host that asks is given the same notices."""

    def _claim(self, user: Any, row: Any, now_ms: int, stretch: float) -> Notice:
        before = dict(self.disk.user(user).notices)
        notice = super()._claim(user, row, now_ms, stretch)
        self.disk.user(user).notices = before
        return notice


@breaks("K4")
class ClaimsAreLostInACrash(MemoryStore):
    def __init__(self, disk: Any = None) -> None:
        super().__init__(disk)
        for record in self.disk.users.values():
            record.notices.clear()


@breaks("K4")
class ClaimsWhatWasReceived(MemoryStore):
    """Who acknowledged after the first claim is told of again."""

    async def undelivered(self, limit: int = 1000) -> Any:
        found = await super().undelivered(limit)
        if limit < 1 << 40:  # asked for a list, not by a claim
            return found
        listed = {(one.user, one.run.run_id) for one in found}
        for user, record in self.disk.users.items():
            for run_id in record.notices:
                if (user, run_id) not in listed:
                    found.append(_undelivered(user, record.rows.runs[run_id]))
        return found


@breaks("K5")
class NotifiedIsForgottenInACrash(MemoryStore):
    def __init__(self, disk: Any = None) -> None:
        super().__init__(disk)
        for record in self.disk.users.values():
            record.notices = {k: (n, again or 0) for k, (n, again) in record.notices.items()}


@breaks("K5")
class NotifiedIsForEveryone(MemoryStore):
    """A run's id is looked for in all logs."""

    async def notified(self, user: Any, run_id: Any) -> None:
        for owner in list(self.disk.users):
            await super().notified(owner, run_id)


@breaks("K6")
class NoticesOutliveTheirRuns(MemoryStore):
    """What is to be told is kept beside the log, and not erased with it."""

    async def claim_notices(self, now_ms: int, **options: Any) -> Claim:
        kept = self.disk.__dict__.setdefault("kept", {})
        claim = await super().claim_notices(now_ms, **options)
        known = {(one.user, one.run_id): one for one in claim.notices}
        kept.update(known)
        gone = [one for key, one in kept.items() if key not in known]
        return replace(claim, notices=[*claim.notices, *gone])
