"""What was measured, whether it holds, and the summary of it in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from tests.proof.kills import Kills
from tests.proof.measures import Fuzzed, Mutated, Simulated, Suite

LIMIT_SECONDS = 1.5
"""Within which 99 of 100 servers must let the first reader go on, with 1,000 open runs."""


@dataclass
class Proof:
    """Everything that was measured, and where."""

    about: dict[str, str]
    simulated: list[Simulated]
    planted: dict[str, int | None]
    kills: Kills
    fuzzed: Fuzzed
    mutated: Mutated
    mission: Suite
    record: str
    """What was run once, and is kept in words (Markdown)."""

    def red(self) -> list[str]:
        """What breaks the promise; empty if it holds."""
        found = [problem for one in self.simulated for problem in one.problems]
        found += [
            f"planted bug not found: {n}" for n, seeds in self.planted.items() if seeds is None
        ]
        tally = self.kills.tally
        if not tally.clean:
            found.append(f"kill -9: {tally}")
        if self.kills.not_succeeded:
            found.append(f"kill -9: {self.kills.not_succeeded} runs did not succeed")
        if p99(self.kills.first_resumed) > LIMIT_SECONDS:
            found.append(f"recovery p99 {p99(self.kills.first_resumed):.2f} s > {LIMIT_SECONDS} s")
        found += [f"fuzzing broke {name}" for name in self.fuzzed.broken]
        found += [f"mutant lives: {name}" for name in self.mutated.lived]
        found += [f"mission-critical case failed: {name}" for name in self.mission.failed]
        if not self.mission.passed or not self.mutated.tried:
            found.append("tests or mutants did not run")
        return found


def p99(values: Sequence[float]) -> float:
    """The 99th percentile; with fewer than 100 values nearly the worst."""
    if len(values) < 2:
        return max(values, default=float("inf"))
    return min(quantiles(values, n=100, method="inclusive")[98], max(values))


def markdown(proof: Proof) -> str:
    """The summary, as `docs/proof.md`."""
    red = proof.red()
    kills, tally = proof.kills, proof.kills.tally
    lines = [
        "# Proof",
        "",
        "What the promise is worth, measured. `make proof` makes this page anew, with fresh seeds, and",
        "an HTML page with plots beside it (`proof/index.html`); `make proof HOURS=8` takes longer. It",
        "fails if one of the counts that must be zero is not.",
        "",
        "**" + ("Everything holds." if not red else f"{len(red)} broken: see below.") + "**",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in proof.about.items()),
        "",
        "## Events",
        "",
        "| | delivered | lost | repeated | reordered | misdelivered |",
        "|---|---:|---:|---:|---:|---:|",
        *(
            f"| simulated, {one.machines} hosts and {one.users} users | {one.delivered:,} | "
            + " | ".join(["0" if not one.problems else "see below"] * 4)
            + " |"
            for one in proof.simulated
        ),
        f"| kill -9 of a real server | {tally.delivered:,} | {tally.lost} | {tally.repeated} | "
        f"{tally.reordered} | {tally.misdelivered} |",
        "",
        "## Deterministic simulation",
        "",
        "The real engine, hosts and protocol, in virtual time, under harm that a seed chooses; every",
        "history is checked against invariants that do not use the engine's code. Any seed can be seen",
        "again: `make simulate SEED=... MACHINES=... USERS=... TRACE=1`.",
        "",
        "| hosts | users | seeds | from | runs | simulated hours | seeds/s | problems |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {one.machines} | {one.users} | {one.seeds:,} | {one.first} | {one.runs:,} | "
            f"{one.simulated_seconds / 3600:.1f} | {one.seeds / one.wall_seconds:.0f} | "
            f"{len(one.problems)} |"
            for one in proof.simulated
        ),
        "",
        "What was done to them:",
        "",
        "| " + " | ".join(name.removesuffix(" by") for name in injected(proof)) + " |",
        "|" + "---:|" * len(injected(proof)),
        "| " + " | ".join(f"{count:,}" for count in injected(proof).values()) + " |",
        "",
        proof.record,
        "",
        "## Planted bugs",
        "",
        f"{sum(s is not None for s in proof.planted.values())} of {len(proof.planted)} bugs that were "
        "planted into engine, store and server are found; seeds to find each:",
        "",
        "| bug | seeds |",
        "|---|---:|",
        *(
            f"| {name} | {'missed' if seeds is None else seeds} |"
            for name, seeds in sorted(proof.planted.items(), key=lambda one: -(one[1] or 10**9))
        ),
        "",
        "## kill -9",
        "",
        f"A real server on the embedded store, {kills.open_runs:,} open runs of as many users, killed "
        f"{kills.kills} times at random moments and started again: {kills.runs:,} runs, "
        f"{kills.not_succeeded} did not succeed.",
        "",
        "| seconds from the new process's start | median | p99 | worst |",
        "|---|---:|---:|---:|",
        _times("to the first event of a resumed run, at a reader", kills.first_resumed),
        _times("to each reader's own resumed run", kills.each_resumed),
        "",
        "## Fuzzing",
        "",
        f"{sum(proof.fuzzed.executions.values()):,} executions, {proof.fuzzed.seconds} s for each "
        f"target, {len(proof.fuzzed.broken)} broken.",
        "",
        "| target | executions |",
        "|---|---:|",
        *(f"| {name} | {count:,} |" for name, count in proof.fuzzed.executions.items()),
        "",
        "## Tests and mutants",
        "",
        f"- Mission-critical cases: {proof.mission.passed} passed, {len(proof.mission.failed)} failed.",
        f"- Mutants: {proof.mutated.tried} of {proof.mutated.of} tried, "
        f"{len(proof.mutated.lived)} lived.",
        "",
    ]
    if red:
        lines += ["## Broken", "", *(f"- {one}" for one in red[:100]), ""]
    return "\n".join(lines)


def _times(name: str, values: Sequence[float]) -> str:
    ordered = sorted(values)
    return f"| {name} | {ordered[len(ordered) // 2]:.2f} | {p99(values):.2f} | {ordered[-1]:.2f} |"


def injected(proof: Proof) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in proof.simulated:
        for name, count in one.injected.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items()))
