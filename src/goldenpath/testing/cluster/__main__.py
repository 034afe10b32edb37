"""Starts PostgreSQL with a standby, three hosts and a balancer, and tells what to try."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import shlex
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path

import httpx

from goldenpath.compose.sharing import migrate_store
from goldenpath.testing.cluster.balancer import PORT_VARIABLE, balancer
from goldenpath.testing.cluster.database import DatabasePair
from goldenpath.testing.cluster.hosts import HostProcess

_HOSTS = 3
_READY_SECONDS = 60.0


def main() -> int:
    """Run until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m goldenpath.testing.cluster", description=__doc__
    )
    parser.add_argument("--port", type=int, default=8700, help="of the balancer (default: 8700)")
    options = parser.parse_args()
    stopping = threading.Event()

    def stop(number: int, frame: object) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    directory = Path(tempfile.mkdtemp(prefix="goldenpath-cluster-"))
    directory.chmod(0o755)  # PostgreSQL runs under an account of its own if this one is root
    try:
        with _cluster(directory, options.port) as (pair, hosts, before):
            _tell(pair, hosts, options.port, before)
            while not stopping.wait(0.2):
                pair.look(_say)
                for host in hosts:
                    host.look(_say)
            _say("ending")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


@contextlib.contextmanager
def _cluster(directory: Path, port: int) -> Generator[tuple[DatabasePair, list[HostProcess], str]]:
    with contextlib.ExitStack() as stack:
        pair = DatabasePair(directory, (port + 30, port + 31))
        stack.callback(pair.stop)
        pair.start()
        asyncio.run(migrate_store(pair.url, None))
        environment = {
            **os.environ,
            "GOLDENPATH_STORE": pair.url,
            "GOLDENPATH_AUTH_SECRET": secrets.token_hex(32),
            PORT_VARIABLE: str(port),
        }
        hosts = [
            HostProcess(
                f"host{number}", port + 10 + number, port + 20 + number, environment,
                directory / f"host{number}.log",
            )
            for number in range(1, _HOSTS + 1)
        ]  # fmt: skip
        for host in hosts:
            stack.callback(host.stop)
            host.start()
        for host in hosts:
            _wait_until_ready(host, directory)
        before = stack.enter_context(balancer(port, [host.port for host in hosts], directory))
        yield pair, hosts, before


def _wait_until_ready(host: HostProcess, directory: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            url = f"http://127.0.0.1:{host.ops_port}/readyz"
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    log = (directory / f"{host.name}.log").read_text(errors="replace")[-2000:]
    raise SystemExit(f"{host.name} did not become ready:\n{log}")


def _tell(pair: DatabasePair, hosts: list[HostProcess], port: int, before: str) -> None:
    where = "" if port == 8700 else f" --url http://127.0.0.1:{port}"
    _say(f"serving http://127.0.0.1:{port} by {before} and {_HOSTS} hosts; Ctrl-C ends it all")
    for line in (
        "",
        "In a second terminal, from the same directory:",
        '    export PATH="$PWD/.venv/bin:$PATH"',
        f"    export GOLDENPATH_STORE={shlex.quote(pair.url)}",
        f'    echo "cost by day" | goldenpath chat{where} --new       # ask for something long',
        "    goldenpath hosts                                # who has the user",
        *(f"    kill -9 {host.pid}   # {host.name}, in the middle of the answer" for host in hosts),
        f"    kill -9 {pair.pid}   # the primary: its standby takes its place",
        "    goldenpath drain host2                          # hands over, and ends",
        "    goldenpath log chat                             # what the store has",
        "    goldenpath check                                # every invariant of it",
        "",
    ):
        print(line, flush=True)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
