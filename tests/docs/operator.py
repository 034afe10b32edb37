"""A reader of the runbook: PostgreSQL's programs are on its path, and what it starts is stopped."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goldenpath.testing.postgres import PostgresServer
from tests.docs.terminal import Reader

_PORTS = ("8702", "8703", "8710", "5432", "5433")
_SERVER_PROGRAMS = ("initdb", "pg_ctl", "pg_basebackup", "pg_rewind")
_SYNCING = ("initdb", "pg_basebackup", "pg_rewind")
"""What is made here need not survive a loss of power, and syncing is most of what these take."""


@contextmanager
def operator(version: int) -> Iterator[Reader]:
    """A reader beside the PostgreSQL of a version, in a directory that its account may use."""
    # What the reader writes, the account reads; commands that a test ran here may have set another.
    before = os.umask(0o022)
    directory = Path(tempfile.mkdtemp(prefix="goldenpath-runbook-"))
    # Nothing is started of it: it knows where the programs are, and who may run them.
    server = PostgresServer(directory / ".postgres", version=version)
    reader = Reader(directory, more_ports=_PORTS)
    try:
        _on_path(reader, server._programs, server._account)
        yield reader
    finally:
        reader.close()
        for found in directory.glob("*/postmaster.pid"):
            subprocess.run(
                ["pg_ctl", "stop", "--mode=immediate", "--pgdata", found.parent],
                env=reader.environment, cwd=directory, capture_output=True, check=False,
            )  # fmt: skip
        shutil.rmtree(directory)
        os.umask(before)


def _on_path(reader: Reader, programs: Path, account: int | None) -> None:
    """PostgreSQL refuses to run as root: for root, its programs change to the account first."""
    shims = reader.directory / ".bin"
    shims.mkdir()
    change = ""
    if account is not None:
        change = f"setpriv --reuid={account} --regid={account} --clear-groups "
        os.chown(reader.directory, account, -1)
        reader.directory.chmod(0o755)
        # What the reader makes, such as the archive's directory, the account may write to.
        (shims / "environment").write_text("umask 0\n")
        reader.environment["BASH_ENV"] = str(shims / "environment")
    for name in _SERVER_PROGRAMS:
        shim = shims / name
        faster = "--no-sync " if name in _SYNCING else ""
        shim.write_text(f'#!/bin/sh\nexec {change}{programs / name} {faster}"$@"\n')
        shim.chmod(0o755)
    reader.environment["PATH"] = f"{shims}:{programs}:{reader.environment['PATH']}"
