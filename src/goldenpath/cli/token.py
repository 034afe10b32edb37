"""`goldenpath token USER`: a token for development."""

from __future__ import annotations

import argparse
import os
import time

from goldenpath.cli.arguments import Subparsers
from goldenpath.compose.tokens import mint
from goldenpath.config import add_flags, load_settings
from goldenpath.config.units import parse_duration
from goldenpath.errors import ConfigError

DEFAULT_TTL = "12h"


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("token", help="print a token for development")
    parser.add_argument("user", metavar="USER", help="the user's id (sub)")
    parser.add_argument("--ttl", default=DEFAULT_TTL, help="how long it is valid (default: 12h)")
    parser.add_argument("--role", action="append", default=[], help="a role, such as operator")
    add_flags(parser, ["auth-issuer", "auth-audience", "auth-secret"])


def run(args: argparse.Namespace) -> int:
    """Print the token alone, so that a shell can take it."""
    settings = load_settings(args, os.environ)
    if settings.auth_secret is None:
        raise ConfigError(
            "GOLDENPATH_AUTH_SECRET: not set; set it to the server's secret (at least 32 bytes)"
        )
    if not args.user:
        raise ConfigError("USER: '' cannot be used; give the user's id")
    try:
        ttl = parse_duration(args.ttl)
    except ValueError as error:
        raise ConfigError(f"--ttl: {args.ttl!r} cannot be used; {error}") from None
    print(mint(settings, args.user, int(time.time()), ttl, args.role))
    return 0
