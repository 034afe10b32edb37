"""`goldenpath hosts`: the hosts that share a store, and what each of them does."""

from __future__ import annotations

import argparse
import os

import anyio

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.output import json_time, print_json, print_table, show_time
from goldenpath.compose.sharing import list_hosts
from goldenpath.config import add_flags, load_settings


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "hosts",
        help="list the hosts that share a PostgreSQL store",
        description="LAG is the time since a host last renewed; after 3 s without, another one "
        "takes its users over.",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_flags(parser, ["store"])


def run(args: argparse.Namespace) -> int:
    """Print the hosts, oldest first."""
    settings = load_settings(args, os.environ)
    views = anyio.run(list_hosts, settings.store)
    if args.json:
        for view in views:
            print_json(
                {
                    "host_id": view.host,
                    "name": view.report.name,
                    "version": view.report.version,
                    "state": _state(view.report.draining),
                    "leases": view.leases,
                    "engines": view.report.engines,
                    "waiting": view.report.waiting,
                    "started": json_time(view.started_ms),
                    "lag_ms": view.age_ms,
                }
            )
        return 0
    print_table(
        ("NAME", "STATE", "VERSION", "LEASES", "ENGINES", "WAITING", "STARTED", "LAG", "HOST"),
        (
            [
                view.report.name or "-",
                _state(view.report.draining),
                view.report.version or "-",
                str(view.leases),
                str(view.report.engines),
                str(view.report.waiting),
                show_time(view.started_ms),
                f"{view.age_ms / 1000:.1f} s",
                view.host,
            ]
            for view in views
        ),
    )
    return 0


def _state(draining: bool) -> str:
    return "draining" if draining else "serving"
