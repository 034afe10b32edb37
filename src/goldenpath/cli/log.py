"""`goldenpath log USER`: a user's log as the store has it."""

from __future__ import annotations

import argparse
import os
from typing import Any

import anyio
import msgspec

from goldenpath.cli.arguments import Subparsers
from goldenpath.cli.output import print_json, print_line
from goldenpath.compose.stores import Reader, open_reader
from goldenpath.config import add_flags, load_settings
from goldenpath.errors import ConfigError
from goldenpath.model.entries import EncodedEntry
from goldenpath.model.ids import Seq, UserId

HIDDEN = "(hidden; --reveal shows it)"
_EXACT_FIELDS = frozenset({"value", "input", "failed_message", "detail"})
"""Fields of journal entries that hold exact values of tools, models and users."""
_POLL_SECONDS = 0.2
"""Another process's appends send no wake-up, so following looks this often."""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("log", help="show a user's log as the store has it")
    parser.add_argument("user", metavar="USER", help="the user's id")
    parser.add_argument("--after", type=int, default=0, metavar="N", help="begin after this seq")
    parser.add_argument("--follow", action="store_true", help="go on with what is appended")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--internal", action="store_true", help="journal entries too")
    parser.add_argument(
        "--reveal", action="store_true", help="journal values too; they may hold secrets"
    )
    add_flags(parser, ["store"])


def run(args: argparse.Namespace) -> int:
    """Print the log, oldest first."""
    settings = load_settings(args, os.environ)
    if args.after < 0:
        raise ConfigError(f"--after: {args.after} cannot be used; give 0 or a seq")
    if args.reveal and not args.internal:
        raise ConfigError("--reveal: shows journal values, so it needs --internal")
    return anyio.run(_print_log, args, settings.store)


async def _print_log(args: argparse.Namespace, url: str) -> int:
    async with open_reader(url) as reader:
        after, found = Seq(args.after), False
        while True:
            _, entries = await reader.entries(UserId(args.user), after)
            for entry in entries:
                found = True
                _print_entry(entry, args)
                after = Seq(entry.seq)
            if entries:
                continue
            if not args.follow:
                return (
                    0 if found or await _known(reader, UserId(args.user)) else _unknown(args.user)
                )
            await anyio.sleep(_POLL_SECONDS)


async def _known(reader: Reader, user: UserId) -> bool:
    return (await reader.head(user)).cursor > 0


def _unknown(user: str) -> int:
    raise ConfigError(f"USER: {user!r} has no log in this store; `goldenpath runs` lists users")


def _print_entry(entry: EncodedEntry, args: argparse.Namespace) -> None:
    if entry.internal and not args.internal:
        return
    if not entry.json:
        row: dict[str, Any] = {"seq": entry.seq, "type": entry.type, "erased": True}
    else:
        row = msgspec.json.decode(entry.json)
        if entry.internal:
            row["internal"] = True
            if not args.reveal:
                row["data"] = conceal(row["data"])
    if args.json:
        print_json(row)
        return
    run_id, data = row.get("run_id") or "-", row.get("data")
    shown = "(erased or pruned)" if data is None else msgspec.json.encode(data).decode()
    print_line(
        f"{row['seq']:>6}  {row.get('time', '-'):24}  {run_id[-12:]:12}  {row['type']:18}  {shown}"
    )


def conceal(data: dict[str, Any]) -> dict[str, Any]:
    """Blank what a journal entry holds of exact values."""
    return {
        name: HIDDEN if name in _EXACT_FIELDS and value is not None else value
        for name, value in data.items()
    }
