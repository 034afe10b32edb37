"""`goldenpath schema`: JSON Schema of frames and events."""

from __future__ import annotations

import argparse
import json

from goldenpath.cli.arguments import Subparsers
from goldenpath.wire.schema import json_schema


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    subparsers.add_parser("schema", help="print the JSON Schema of frames and events")


def run(args: argparse.Namespace) -> int:
    """Print one JSON document."""
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
