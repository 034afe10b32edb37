"""`goldenpath check`: verifies every invariant that a store can show."""

from __future__ import annotations

import argparse
import os

import anyio
import msgspec

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.output import print_json, print_line
from goldenpath.compose.stores import open_reader
from goldenpath.config import add_flags, load_settings
from goldenpath.model.ids import UserId
from goldenpath.store.verify import Breach, verify_user


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "check", help="verify every invariant that a store can show; exit 1 where one is broken"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_flags(parser, ["store"])


def run(args: argparse.Namespace) -> int:
    """Print each breach; 1 if there is one."""
    settings = load_settings(args, os.environ)
    users, breaches = anyio.run(_check, settings.store, args.json)
    if args.json:
        print_json({"users": users, "breaches": breaches})
    else:
        print_line(f"{users} users checked, {breaches} breaches")
    return 1 if breaches else 0


async def _check(url: str, as_json: bool) -> tuple[int, int]:
    """Check one user after the other; gives how many users, and how many breaches."""
    users = breaches = 0
    last: UserId | None = None
    async with open_reader(url) as reader:
        while page := await reader.users(last):
            for user in page:
                for breach in await verify_user(reader, user):
                    breaches += 1
                    _print(breach, as_json)
                users += 1
            last = page[-1]
    return users, breaches


def _print(breach: Breach, as_json: bool) -> None:
    if as_json:
        print_json({"breach": msgspec.to_builtins(breach)})
        return
    where = "" if breach.seq is None else f" at seq {breach.seq}"
    print_line(f"{breach.user}: {breach.invariant}{where}: {breach.message}")
