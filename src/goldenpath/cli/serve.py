"""`goldenpath serve MODULE:APP`: serves an application until it is told to stop."""

from __future__ import annotations

import argparse
import os

import anyio

from goldenpath.cli.arguments import Subparsers
from goldenpath.config import add_flags, load_settings
from goldenpath.telemetry import logging as diagnostics


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "serve",
        help="serve an application",
        description="Settings are read from flags, then GOLDENPATH_* variables, then "
        "goldenpath.toml in the current directory, then the application itself.",
    )
    parser.add_argument("target", metavar="MODULE:APP", help="such as main:app")
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Serve; everything that cannot work is said before a port is opened."""
    load_settings(args, os.environ)
    # Here, since a server is much to load for the commands that are none.
    from goldenpath.compose.loading import load_app
    from goldenpath.compose.serving import serve_to_the_end

    app = load_app(args.target)
    settings = load_settings(args, os.environ, application=app.options)
    diagnostics.configure(settings.log_format, settings.log_level)
    anyio.run(serve_to_the_end, app, settings)
    return 0
