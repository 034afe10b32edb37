"""The type that `add_parser` takes."""

from __future__ import annotations

from argparse import ArgumentParser, _SubParsersAction  # pyright: ignore[reportPrivateUsage]
from typing import TypeAlias

Subparsers: TypeAlias = "_SubParsersAction[ArgumentParser]"
"""argparse gives what holds the commands no public name."""
