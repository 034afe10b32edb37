"""`goldenpath demo`: the whole way of one question, over a real socket, with nothing to set up."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.state import kept_key, state_directory
from goldenpath.config import SETTINGS, Settings
from goldenpath.errors import ConfigError


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser(
        "demo",
        help="ask a demo agent over a real socket, then serve it; needs no key and no network",
        description="Keeps its store and key in $XDG_STATE_HOME/goldenpath "
        "(~/.local/state/goldenpath). Asks one question, prints its events and its answer; then, "
        "on a terminal or with --serve, goes on serving.",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="CSV or SQLite file to ask about (default: shipped)",
    )
    parser.add_argument("--port", default="8700", help="port to serve on (default: 8700)")
    parser.add_argument("--serve", action="store_true", help="go on serving without a terminal too")
    parser.add_argument(
        "--ask", metavar="QUESTION", help="what to ask (default: one that fits the data)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve, ask, print; exit 1 if the answer did not come."""
    port = SETTINGS["port"].parse(args.port, "--port")
    if args.data is not None and not args.data.is_file():
        raise ConfigError(f"--data: {str(args.data)!r} is no file; give a CSV or SQLite file")
    try:
        # Here, since duckdb comes with an extra that other commands do without.
        from goldenpath.cli.demonstration import demonstrate
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "goldenpath":
            raise
        raise ConfigError(
            f"demo: needs {error.name!r}, which is not installed; pip install 'goldenpath[demo]'"
        ) from None
    directory = state_directory(os.environ)
    settings = Settings(
        port=port,
        store=f"sqlite:///{directory / 'demo.db'}",
        auth_secret=kept_key(directory),
        drain=2.0,
    )
    return demonstrate(settings, args.data, args.ask, stays=args.serve)
