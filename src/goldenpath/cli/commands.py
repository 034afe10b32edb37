"""Reads the command line, runs the command, and turns errors into one line and an exit code.

Exit codes: 0 done, 1 the command found something wrong or failed, 2 it could not begin because of
what it was told, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from goldenpath.cli import (
    backup,
    bench,
    chat,
    check,
    compact,
    copy,
    crash_test,
    demo,
    drain,
    forget,
    hosts,
    log,
    migrate,
    restore,
    runs,
    schema,
    serve,
    token,
)
from goldenpath.errors import ConfigError, GoldenpathError, StoreOpenError


class Command(Protocol):
    """A module of this package."""

    add_parser: Callable[[argparse._SubParsersAction[argparse.ArgumentParser]], None]  # pyright: ignore[reportPrivateUsage]
    run: Callable[[argparse.Namespace], int]


COMMANDS: dict[str, Command] = {
    "demo": demo,
    "serve": serve,
    "token": token,
    "chat": chat,
    "log": log,
    "runs": runs,
    "check": check,
    "backup": backup,
    "restore": restore,
    "forget": forget,
    "migrate": migrate,
    "hosts": hosts,
    "drain": drain,
    "copy": copy,
    "compact": compact,
    "crash-test": crash_test,
    "schema": schema,
    "bench": bench,
}
"""Every command, in the order of the help."""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="goldenpath", description="Durable delivery of AI agents' answers to users."
    )
    parser.add_argument("--version", action="version", version=f"goldenpath {_version()}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS.values():
        command.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (that of the process, without) and return its exit code."""
    args = make_parser().parse_args(argv)
    # Stores and their copies hold what tools returned, so nobody else may read what we create.
    os.umask(0o077)
    try:
        code = COMMANDS[args.command].run(args)
        sys.stdout.flush()
        return code
    except (ConfigError, StoreOpenError) as error:
        return _fail(error, 2)
    except GoldenpathError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone, such as `head`; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _fail(error: Exception, code: int) -> int:
    print("goldenpath: " + " ".join(str(error).split()), file=sys.stderr)
    return code


def _version() -> str:
    try:
        return version("goldenpath")
    except PackageNotFoundError:  # run from a checkout
        return "unreleased"
