"""`goldenpath drain HOST`: has a host hand its runs over to the others, and end."""

from __future__ import annotations

import argparse
import os

import anyio

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.output import print_line
from goldenpath.compose.sharing import drain_host
from goldenpath.config import add_flags, load_settings
from goldenpath.config.units import parse_duration
from goldenpath.errors import ConfigError


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "drain",
        help="have a host hand its runs over to the others, and end (as SIGTERM does)",
    )
    parser.add_argument(
        "host", metavar="HOST", help="a name or an id that `goldenpath hosts` shows"
    )
    parser.add_argument(
        "--wait", default="90s", metavar="TIME", help="for its end; 0s: do not wait (default: 90s)"
    )
    add_flags(parser, ["store"])


def run(args: argparse.Namespace) -> int:
    """Ask the host, and wait until it has gone; 1 if it has not."""
    settings = load_settings(args, os.environ)
    try:
        wait = parse_duration(args.wait)
    except ValueError as error:
        raise ConfigError(f"--wait: {args.wait!r} cannot be used; {error}") from None
    gone = anyio.run(drain_host, settings.store, args.host, wait)
    if gone:
        print_line(f"{args.host} has handed its runs over and gone")
    else:
        print_line(f"{args.host} was asked to; it has not gone yet")
    return 0 if gone or not wait else 1
