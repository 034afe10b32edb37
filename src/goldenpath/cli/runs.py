"""`goldenpath runs`: runs of all users or one, or the answers that nobody received."""

from __future__ import annotations

import argparse
import os
from typing import Any, get_args

import anyio

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.output import json_time, print_json, print_table, show_time
from goldenpath.compose.stores import open_reader
from goldenpath.config import Settings, add_flags, load_settings
from goldenpath.errors import ConfigError
from goldenpath.model.ids import UserId
from goldenpath.model.views import RunRow, RunStatus


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("runs", help="list runs, newest first")
    parser.add_argument("--user", help="only of this user")
    parser.add_argument("--status", help=f"only {', '.join(get_args(RunStatus))}")
    parser.add_argument(
        "--undelivered",
        action="store_true",
        help="only answers that nobody acknowledged or fetched",
    )
    parser.add_argument("--limit", type=int, default=100, help="at most this many (default: 100)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_flags(parser, ["store"])


def run(args: argparse.Namespace) -> int:
    """Print the runs."""
    settings = load_settings(args, os.environ)
    statuses = get_args(RunStatus)
    if args.status is not None and args.status not in statuses:
        raise ConfigError(
            f"--status: {args.status!r} cannot be used; give one of: {', '.join(statuses)}"
        )
    if args.limit < 1:
        raise ConfigError(f"--limit: {args.limit} cannot be used; give 1 or more")
    rows = anyio.run(_find, args, settings)
    if args.json:
        for user, row in rows:
            print_json(_as_json(user, row))
    else:
        print_table(
            ("TIME", "USER", "STATUS", "AGENT", "RUN", "ERROR", "QUESTION"),
            ([*_cells(user, row)] for user, row in rows),
        )
    return 0


async def _find(args: argparse.Namespace, settings: Settings) -> list[tuple[UserId, RunRow]]:
    user = None if args.user is None else UserId(args.user)
    async with open_reader(settings.store) as reader:
        if not args.undelivered:
            return await reader.runs(user, args.status, args.limit)
        # The store lists undelivered answers of all users; the filters are ours.
        answers = await reader.undelivered(100_000 if user or args.status else args.limit)
        return [
            (answer.user, answer.run)
            for answer in answers
            if user in (None, answer.user) and args.status in (None, answer.run.status)
        ][: args.limit]


def _cells(user: UserId, row: RunRow) -> list[str]:
    return [
        show_time(row.queued_ms),
        user,
        row.status + (f" ({row.parked})" if row.parked and row.open else ""),
        row.agent,
        row.run_id,
        row.error.code if row.error else "-",
        row.text,
    ]


def _as_json(user: UserId, row: RunRow) -> dict[str, Any]:
    return {
        "user_id": user,
        "run_id": row.run_id,
        "thread_id": row.thread_id,
        "parent_run_id": row.parent_run_id,
        "agent": row.agent,
        "version": row.version,
        "status": row.status,
        "parked": row.parked if row.open else None,
        "attempts": row.attempts,
        "deaths": row.deaths,
        "text": row.text,
        "output": row.output,
        "error": None
        if row.error is None
        else {"code": row.error.code, "message": row.error.message},
        "usage": row.usage,
        "queued": json_time(row.queued_ms),
        "started": json_time(row.started_ms),
        "ended": json_time(row.ended_ms),
        "first_seq": row.first_seq,
        "last_seq": row.last_seq,
    }
