"""`goldenpath forget USER`: erases a user; the server of a file must be stopped."""

from __future__ import annotations

import argparse
import os

import anyio

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.output import print_line
from goldenpath.compose.erasing import erase_user
from goldenpath.compose.stores import is_postgres
from goldenpath.config import add_flags, load_settings
from goldenpath.errors import ConfigError
from goldenpath.model.ids import UserId


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "forget",
        help="erase a user; the server of a file must be stopped",
        description="Erases texts, journal values and titles of a user; seqs stay. Of a database, "
        "beside its hosts; compact takes what was erased out of its files. While the server of a "
        "file runs, ask it: DELETE /v1/me with a token of that user (goldenpath token USER).",
    )
    parser.add_argument("user", metavar="USER", help="the user's id")
    add_flags(parser, ["store"])


def run(args: argparse.Namespace) -> int:
    """Erase the user."""
    settings = load_settings(args, os.environ)
    if not anyio.run(erase_user, settings.store, UserId(args.user)):
        raise ConfigError(
            f"USER: {args.user!r} has no log in this store; `goldenpath runs` lists users"
        )
    print_line(f"erased everything of {args.user}")
    if is_postgres(settings.store):
        print_line("goldenpath compact, as the tables' owner, takes it out of their files, too")
    return 0
