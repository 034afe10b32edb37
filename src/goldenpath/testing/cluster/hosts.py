"""Host processes that are started again when they die, as a supervisor does."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

_AGAIN_SECONDS = 8.0
"""Until a dead host is started again: long enough to see that the others do without it."""


class HostProcess:
    """One `goldenpath serve`."""

    def __init__(
        self, name: str, port: int, ops_port: int, environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.port = port
        self.ops_port = ops_port
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._died: float | None = None

    @property
    def pid(self) -> int:
        """Of its process; 0 without one."""
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        """Start its process."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [
                    *(sys.executable, "-m", "goldenpath.cli"),
                    *("serve", "goldenpath.testing.cluster.app:app", "--name", self.name),
                    *("--port", str(self.port), "--ops-bind", f"127.0.0.1:{self.ops_port}"),
                ],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._died = None

    def look(self, say: Callable[[str], None]) -> None:
        """Start it again if it has died."""
        if self._process is None or self._process.poll() is None:
            return
        now = time.monotonic()
        if self._died is None:
            self._died = now
            say(f"{self.name} has gone; the others take its users over")
        elif now - self._died > _AGAIN_SECONDS:
            self.start()
            say(f"{self.name} is started again, pid {self.pid}")

    def stop(self) -> None:
        """End it in an orderly way."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
