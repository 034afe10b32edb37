"""`goldenpath migrate`: brings the schema of a PostgreSQL database up to date."""

from __future__ import annotations

import argparse
import os

import anyio

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.output import print_line
from goldenpath.compose.sharing import migrate_store
from goldenpath.config import add_flags, load_settings


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "migrate",
        help="bring the schema of a PostgreSQL database up to date, while hosts serve",
        description="Run it as the database's owner, before hosts of a new version start; hosts of "
        "the version before go on. A file's schema is brought up to date by the server itself.",
    )
    parser.add_argument(
        "--grant", metavar="ROLE", help="let this role, which exists, serve; and nothing more"
    )
    add_flags(parser, ["store"])


def run(args: argparse.Namespace) -> int:
    """Migrate, and name what was done."""
    settings = load_settings(args, os.environ)
    done = anyio.run(migrate_store, settings.store, args.grant)
    for name in done:
        print_line(f"applied {name}")
    if not done:
        print_line("the schema is up to date")
    if args.grant is not None:
        print_line(f"{args.grant} may serve it")
    return 0
