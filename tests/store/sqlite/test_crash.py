"""A process that is killed: everything that it acknowledged is there, and nothing twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from goldenpath.model.ids import CommandId, UserId
from goldenpath.store.sqlite import open_store
from tests.store.sqlite.logs import all_entries, question

pytestmark = pytest.mark.anyio

CHILD = """
import asyncio, sys
from tests.store.sqlite.logs import Log, piece, question
from goldenpath.store.sqlite import open_store, settler

settler.TAIL_ENTRIES = 60  # settles all the time

async def user(store, name):
    log = await Log.begin(store, name, sys.argv[2] + name)
    number = 0
    while True:
        number += 1
        await store.submit(log.user, f"{log.mark}-{number}", question(str(number)), 0)
        await log.append([piece(f"{name} {log.head + k}") for k in range(3)], "r1")
        print(name, log.head, f"{log.mark}-{number}", flush=True)

async def main():
    store = await open_store(sys.argv[1], durability="process")
    await asyncio.gather(*(user(store, f"user{n}") for n in range(5)))

asyncio.run(main())
"""


def run_child(path: Path, name: str, lines: int) -> list[str]:
    """Let a child append until it has acknowledged so much, kill it, and give what it said."""
    said: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), name], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if not line.endswith("\n"):
                break  # killed in the middle of saying it
            said.append(line)
            if len(said) == lines:
                child.send_signal(signal.SIGKILL)
    return said


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    heads: dict[str, int] = {}
    commands: dict[str, list[str]] = {}
    for round_ in range(4):
        for line in await asyncio.to_thread(run_child, path, f"round{round_}", 100 + 37 * round_):
            name, head, command = line.split()
            heads[name] = int(head)
            commands.setdefault(name, []).append(command)
        store = await open_store(path)
        for name, head in heads.items():
            user = UserId(name)
            found = await store.head(user)
            assert found.cursor >= head
            entries = await all_entries(store, user)
            assert [entry.seq for entry in entries] == list(range(1, found.cursor + 1))
            assert all(f"{name} {k}".encode() in entries[k].json for k in range(3))
            pending = [command.command_id for command in await store.pending(user)]
            assert [one for one in pending if one in set(commands[name])] == commands[name]
            # What was submitted and not acknowledged any more: at most one in each round.
            assert len(pending) - len(commands[name]) <= round_ + 1
            again = await store.submit(user, CommandId(commands[name][0]), question("1"), 0)
            assert again.state == "waiting"
        await store.close()
