"""`goldenpath bench`: the standard workloads, measured on this machine."""

from __future__ import annotations

import argparse
import sys

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.output import print_json


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "bench", help="run the standard workloads; their figures as a table or as JSON"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="a minute instead of four, less sure")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from goldenpath.testing.workloads.report import run_workloads, table

    figures = run_workloads(lambda text: print(text, file=sys.stderr, flush=True), quick=args.quick)
    if args.json:
        for name, result in figures.items():
            print_json({"workload": name, **result})
    else:
        print(table(figures))
    return 0
