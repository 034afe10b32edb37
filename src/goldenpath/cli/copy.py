"""`goldenpath copy SOURCE TARGET`: moves a store to a database that several hosts can share."""

from __future__ import annotations

import argparse

import anyio

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.output import print_line
from goldenpath.compose.moving import move_store
from goldenpath.compose.stores import hide_password


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "copy",
        help="copy a file's store into an empty PostgreSQL database, and compare every entry",
        description="The server of the source must be stopped; the source stays as it is. Clients "
        "go on where they were when the target is served.",
    )
    parser.add_argument("source", metavar="SOURCE", help="sqlite:///path")
    parser.add_argument("target", metavar="TARGET", help="postgresql://user@host/database")


def run(args: argparse.Namespace) -> int:
    """Copy and compare."""
    moved = anyio.run(move_store, args.source, args.target)
    print_line(
        f"copied {args.source} to {hide_password(args.target)}: {moved.users} users, "
        f"{moved.entries} entries, each compared"
    )
    return 0
