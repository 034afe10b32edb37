"""`python -m tests.mutants`: tries all mutants, or a sample; prints a table; exit 1 if one lives."""

from __future__ import annotations

import argparse
import random
import sys

from tests.mutants.mutation import attempt, baseline, load


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only see that each still applies")
    parser.add_argument("--sample", type=int, metavar="N", help="try N of them")
    parser.add_argument("--seed", type=int, help="which ones; printed when not given")
    parser.add_argument("--only", metavar="TEXT", help="try those whose name has this text")
    arguments = parser.parse_args()
    mutants = load()
    problems = [(m.name, problem) for m in mutants if (problem := m.problem()) is not None]
    for name, problem in problems:
        print(f"{name}: {problem}")
    if arguments.check:
        print(f"{len(mutants)} mutants, {len(problems)} do not apply")
        return 1 if problems else 0
    chosen = [m for m in mutants if arguments.only is None or arguments.only in m.name]
    if arguments.sample is not None:
        seed = random.randrange(1 << 30) if arguments.seed is None else arguments.seed
        print(f"seed {seed}")
        chosen = random.Random(seed).sample(chosen, min(arguments.sample, len(chosen)))
    if arguments.sample is None and (red := baseline(chosen)) is not None:
        print(f"red without any mutant: {red}")
        return 1
    lived = 0
    for mutant in chosen:
        verdict = attempt(mutant)
        lived += not verdict.killed
        word = "killed" if verdict.killed else "LIVES"
        print(f"{word:6} {verdict.seconds:6.1f} s  {mutant.name}: {verdict.reason}", flush=True)
    print(f"{len(chosen)} tried, {lived} live")
    return 1 if lived or problems else 0


sys.exit(main())
