"""The `goldenpath` command: one module a command, each with `add_parser` and `run`."""

from goldenpath.cli.commands import main

__all__ = ["main"]
