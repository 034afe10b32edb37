"""`goldenpath crash-test MODULE:APP`: kills an agent at every entry, and tells what that shows."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.output import print_json, print_line, print_table
from goldenpath.errors import ConfigError

if TYPE_CHECKING:
    from goldenpath.engine.definitions import Agent
    from goldenpath.testing.crash.judging import Row, Verdict


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "crash-test",
        help="kill an agent at every entry of its log, and see what it makes of that",
        description="Runs each agent of an application on a message, then again for every entry of "
        "its log with a kill -9 right before and right after it, and compares. Tools and steps "
        "really run, often: point them to something harmless. Approvals are given, durable waits "
        "pass at once. Exits with 1 if it finds a mistake.",
    )
    parser.add_argument("target", metavar="MODULE:APP", help="the application, as for serve")
    parser.add_argument("--agent", action="append", metavar="NAME", help="only this one")
    parser.add_argument("--message", default="Hello", help="what is said to it (default: Hello)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes at once (default: cores)"
    )
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="for one run (default: 60)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Test every agent; 1 if there is a finding."""
    from goldenpath.compose.loading import load_app

    for flag in ("jobs", "timeout"):
        if getattr(args, flag) <= 0:
            raise ConfigError(f"--{flag}: {getattr(args, flag)} cannot be used; give more than 0")
    agents = load_app(args.target).agents
    # Those of the others too: a run may have children.
    idempotent = {tool.name for one in agents for tool in one.tools if tool.idempotent}
    names = args.agent or [agent.name for agent in agents]
    chosen: list[Agent] = []
    for name in names:
        found = agents.get(name)
        if found is None:
            raise ConfigError(
                f"--agent: there is no {name!r}; give one of: {', '.join(a.name for a in agents)}"
            )
        chosen.append(found)
    return max([_test(args, agent, idempotent) for agent in chosen])


def _test(args: argparse.Namespace, agent: Agent, idempotent: set[str]) -> int:
    from goldenpath.testing.crash.judging import Judge, failure_of
    from goldenpath.testing.crash.trials import Trials

    trials = Trials(args.target, agent.name, args.message, jobs=args.jobs, seconds=args.timeout)
    undisturbed = trials.undisturbed(2)
    for trial in undisturbed:
        if trial.end is None or trial.end.status != "succeeded":
            why = trial.problem if trial.end is None else failure_of(trial.end)
            _say(args, f"{agent.name}: it fails without a crash: {why}")
            return 1
    judge = Judge(undisturbed, idempotent, agent.recover == "fail")
    seqs = [seq for seq, _, _ in judge.first.entries]
    if not args.json:
        print_line(f"{agent.name}: {len(seqs)} entries, so {2 * len(seqs)} crashes")
    for number, trial in enumerate(trials.crashed_at(seqs), 1):
        judge.add(trial)
        if sys.stderr.isatty():
            print(f"\r{number} of {2 * len(seqs)}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    verdict = judge.verdict()
    if args.json:
        _print_json(agent.name, verdict)
    else:
        _print(verdict)
    return 1 if verdict.findings else 0


def _say(args: argparse.Namespace, text: str) -> None:
    if args.json:
        print_json({"problem": text})
    else:
        print_line(text)


def _print_json(agent: str, verdict: Verdict) -> None:
    for row in verdict.rows:
        print_json({"agent": agent, **msgspec.to_builtins(row)})
    for finding in verdict.findings:
        print_json({"agent": agent, "finding": msgspec.to_builtins(finding)})


def _print(verdict: Verdict) -> None:
    print_table(
        ("CRASH", "SEQ", "ANSWER", "REPEATED", "AMBIGUOUS", "STEPS", "ENTRY"),
        ([*_cells(row)] for row in verdict.rows),
    )
    if verdict.varies:
        print_line("The answer differs without a crash too, so only its status was compared.")
    for number, finding in enumerate(verdict.findings, 1):
        print_line("")
        _print_wrapped(f"{number}. ", finding.what)
        _print_wrapped("   crashes: ", _some(finding.crashes))
        _print_wrapped("   ", finding.advice)
    print_line("")
    print_line(f"{len(verdict.findings) or 'no'} finding{'s' * (len(verdict.findings) != 1)}")


def _print_wrapped(before: str, text: str) -> None:
    for line in textwrap.wrap(text, 90, initial_indent=before, subsequent_indent="   "):
        print_line(line)


def _cells(row: Row) -> Sequence[str]:
    return (
        row.crash,
        str(row.seq),
        row.answer,
        ", ".join(f"{name} x{count}" for name, count in row.repeated.items()) or "-",
        ", ".join(row.ambiguous) or "-",
        "differ" if row.differs else "same",
        row.entry,
    )


def _some(crashes: Sequence[str]) -> str:
    shown = ", ".join(crashes[:6])
    return shown if len(crashes) <= 6 else f"{shown} and {len(crashes) - 6} more"
