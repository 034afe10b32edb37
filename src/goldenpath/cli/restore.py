"""`goldenpath restore FILE`: puts a copy in the store's place."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.output import print_line
from goldenpath.compose.restoring import restore_store
from goldenpath.config import add_flags, load_settings
from goldenpath.errors import ConfigError


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "restore", help="put a copy in the store's place; its server must be stopped"
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="what `goldenpath backup` wrote")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="where a store exists; it is kept as *.before-restore-N",
    )
    add_flags(parser, ["store"])


def run(args: argparse.Namespace) -> int:
    """Restore the copy; clients that had read further are told to start over."""
    settings = load_settings(args, os.environ)
    if not args.file.is_file():
        raise ConfigError(
            f"FILE: {str(args.file)!r} is no file; give what `goldenpath backup` wrote"
        )
    kept = restore_store(settings.store, args.file, replace=args.replace)
    print_line(f"restored {settings.store} from {args.file}")
    if kept is not None:
        print_line(f"what was there is kept as {kept}")
    return 0
