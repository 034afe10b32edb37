"""What trials say of an agent: a row for each crash, and findings with advice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from goldenpath.testing.crash.process import Asked, Ended
from goldenpath.testing.crash.trials import Trial

_REPLAY = "docs/replayable-agents.md"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One crash. Empty where nothing is to be said."""

    seq: int
    entry: str
    crash: str
    answer: str
    """`same`, `other`, or how it ended."""
    repeated: dict[str, int]
    """Bodies that were entered more often than without a crash, and how often in all."""
    differs: str | None
    """The step that was asked for in another way, and the line that did."""
    ambiguous: list[str]
    """Tools of which it is not known whether they ran."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A mistake of the agent, the crashes that show it, and what to do."""

    what: str
    crashes: list[str]
    advice: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `varies` if the answer differs without any crash."""

    rows: list[Row]
    findings: list[Finding]
    varies: bool


class Judge:
    """Compares trials with runs that nothing disturbed."""

    def __init__(self, undisturbed: Sequence[Trial], idempotent: set[str], gives_up: bool) -> None:
        ends = [trial.end for trial in undisturbed if trial.end is not None]
        self.first = ends[0]
        self.varies = len({end.output for end in ends}) > 1
        self._idempotent = idempotent
        self._gives_up = gives_up
        self._entries = {seq: (type_, about) for seq, type_, about in self.first.entries}
        self._most = Counter[tuple[str, str]]()
        for trial in undisturbed:
            self._most |= _entered(trial)
        self._most_by_name = _by_name(self._most)
        self._findings: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._rows: list[Row] = []

    def add(self, trial: Trial) -> None:
        """Judge one trial."""
        assert trial.at is not None
        type_, about = self._entries[trial.at]
        entered = _entered(trial)
        more = {key: count for key, count in entered.items() if count > max(self._most[key], 1)}
        repeated = Counter[str]()
        for (name, _), count in more.items():
            repeated[_plain(name)] = max(repeated[_plain(name)], count)
        row = Row(
            seq=trial.at,
            entry=f"{type_} {about}".strip(),
            crash=trial.when if trial.crashed else "not reached",
            answer=self._answer(trial),
            repeated=dict(repeated),
            differs=_difference(trial.asked),
            ambiguous=[] if trial.end is None else trial.end.interrupted,
        )
        self._rows.append(row)
        self._note(trial, row, entered)

    def verdict(self) -> Verdict:
        """What all of them say together."""
        findings = [
            Finding(what=what, crashes=crashes, advice=advice)
            for (what, advice), crashes in self._findings.items()
        ]
        return Verdict(rows=self._rows, findings=findings, varies=self.varies)

    def _answer(self, trial: Trial) -> str:
        end = trial.end
        if end is None:
            return trial.problem or "none"
        if (end.status, end.error) != (self.first.status, self.first.error):
            return f"{end.status}/{end.error}" if end.error else end.status
        return "same" if self.varies or end.output == self.first.output else "other"

    def _note(self, trial: Trial, row: Row, entered: Counter[tuple[str, str]]) -> None:
        where = f"{row.crash} {row.seq}"
        for name, count in sorted(_by_name(entered).items()):
            effect = not name.startswith("step ") and name not in self._idempotent
            if effect and count > self._most_by_name[name]:
                what = f"{name} ran once more than without a crash, though it is not idempotent"
                self._findings[what, _RAN_AGAIN].append(where)
        found = self._mistake(trial, row)
        if found is not None:
            self._findings[found].append(where)

    def _mistake(self, trial: Trial, row: Row) -> tuple[str, str] | None:
        """What is wrong with how it ended, and the advice."""
        end = trial.end
        if end is None:
            return f"it does not come to an end: {trial.problem}", _NO_END
        if self._gives_up and end.error == "crashed":
            return None  # as its author wants it
        if row.differs is not None or end.error in ("nondeterministic", "code_changed"):
            return f"the steps differ on replay: {row.differs or end.message}", _STEPS_DIFFER
        if row.answer == "same" or (row.answer == "other" and end.interrupted):
            return None  # it may tell of what is not known
        if row.answer == "other":
            first = self.first.output
            return f"another answer: {_cut(end.output)!r} instead of {_cut(first)!r}", _OTHER_ANSWER
        if end.interrupted:
            tools = ", ".join(end.interrupted)
            return f"the run ends {row.answer} when it is not known whether {tools} ran", _UNKNOWN
        return f"the run ends {row.answer}: {end.message}", f"See {_REPLAY}."


_RAN_AGAIN = (
    "After a crash its end is not known, and the call fails with the status `interrupted`; the "
    "agent called it anew. Do not retry it: say so to the user, or make the tool idempotent (use "
    'ToolContext.call_id as the key), or let the user decide with on_ambiguous="user".'
)
_NO_END = (
    "Look for a wait that ends only in the process that began it (an event, a lock, a queue in "
    "memory); use RunContext.sleep or RunContext.approve to wait. If the process failed, mend what "
    "its last line says."
)
_STEPS_DIFFER = (
    "Whatever may differ the next time (time, random numbers, network, files, the order of a set) "
    f"belongs into run.step or a tool, whose result is recorded. See {_REPLAY}."
)
_OTHER_ANSWER = (
    "The answer was made of something that is not recorded: put it into run.step or a tool. "
    f"See {_REPLAY}."
)
_UNKNOWN = (
    "Catch ToolFailed around the call and look for the status `interrupted`: tell the user what "
    "may have happened. Or make the tool idempotent."
)


def failure_of(end: Ended) -> str:
    """How a run failed, in one line."""
    return f"{end.status}/{end.error}: {end.message}"


def _entered(trial: Trial) -> Counter[tuple[str, str]]:
    return Counter((note.name, note.arguments) for note in trial.entered)


def _by_name(entered: Counter[tuple[str, str]]) -> Counter[str]:
    counts = Counter[str]()
    for (name, _), count in entered.items():
        counts[name] += count
    return counts


def _difference(asked: Sequence[Asked]) -> str | None:
    """The first step that a later attempt asked for in place of another one, with both lines.

    Only where everything before it came from the journal: what is done anew may lead elsewhere.
    """
    attempts: dict[tuple[str, str], dict[int, list[Asked]]] = defaultdict(lambda: defaultdict(list))
    for note in asked:
        attempts[note.run_id, note.scope][note.attempt].append(note)
    for by_attempt in attempts.values():
        ordered = [by_attempt[attempt] for attempt in sorted(by_attempt)]
        for earlier, later in pairwise(ordered):
            for before, after in zip(earlier, later, strict=False):
                if _identity(before) != _identity(after):
                    return _told(before, after)
                if not after.recorded:
                    break
    return None


def _identity(note: Asked) -> tuple[str, str, int]:
    return note.name, note.arguments, note.occurrence


def _told(before: Asked, after: Asked) -> str:
    if before.name == after.name:
        return f"{_plain(after.name)} with other arguments ({after.line or 'line not known'})"
    return (
        f"{_plain(after.name)} ({after.line or 'line not known'}) in place of "
        f"{_plain(before.name)} ({before.line or 'line not known'})"
    )


def _plain(name: str) -> str:
    return name.removeprefix("step ")


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
