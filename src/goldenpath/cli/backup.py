"""`goldenpath backup FILE`: a consistent copy of the store, also while its server runs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import anyio

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.output import print_line
from goldenpath.compose.stores import hide_password, open_reader
from goldenpath.config import add_flags, load_settings
from goldenpath.errors import ConfigError


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("backup", help="copy the store, also while its server runs")
    parser.add_argument("file", metavar="FILE", type=Path, help="the copy; must not exist")
    add_flags(parser, ["store"])


def run(args: argparse.Namespace) -> int:
    """Make the copy."""
    settings = load_settings(args, os.environ)
    target: Path = args.file
    if target.exists():
        raise ConfigError(f"FILE: {str(target)!r} exists; name a new file")
    if not target.absolute().parent.is_dir():
        raise ConfigError(f"FILE: directory {str(target.parent)!r} does not exist; make it first")
    anyio.run(_copy, settings.store, target)
    store = hide_password(settings.store)
    print_line(f"copied {store} to {target} ({target.stat().st_size} bytes)")
    return 0


async def _copy(url: str, target: Path) -> None:
    async with open_reader(url) as reader:
        await reader.backup(target)
