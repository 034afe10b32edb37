"""`goldenpath compact`: leaves no trace of erased text in the files of a PostgreSQL store."""

from __future__ import annotations

import argparse
import os

import anyio

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.output import print_line
from goldenpath.compose.sharing import compact_store
from goldenpath.config import add_flags, load_settings


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "compact",
        help="leave no trace of erased text in the files of a PostgreSQL store",
        description="It writes the tables anew, as their owner, and locks each meanwhile: for a "
        "time of little traffic. A file does that by itself. The database's write-ahead log and "
        "backups keep what they have until they are recycled.",
    )
    add_flags(parser, ["store"])


def run(args: argparse.Namespace) -> int:
    """Compact."""
    settings = load_settings(args, os.environ)
    anyio.run(compact_store, settings.store)
    print_line("nothing that was erased is left in the tables")
    return 0
