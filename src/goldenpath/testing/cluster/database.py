"""A primary and its synchronous standby; when the primary dies, the standby is made the primary.

In production that is the work of whoever runs the database; here it can be tried.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from goldenpath.testing.postgres import USER, PostgresServer

_DATABASE = "goldenpath"
_STANDBY = "standby"


class DatabasePair:
    """Two servers, and a URL that names both."""

    def __init__(self, directory: Path, ports: tuple[int, int]) -> None:
        self._directory = directory
        self._made = 0
        self._ports = ports
        self.primary = self._server(ports[0])
        self.standby: PostgresServer | None = None

    def _server(self, port: int) -> PostgresServer:
        self._made += 1
        return PostgresServer(
            self._directory / f"postgres{self._made}",
            port=port,
            durable=True,
            settings={"wal_keep_size": "256MB"},
        )

    @property
    def url(self) -> str:
        """For the hosts."""
        places = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"postgresql://{USER}:{self.primary.password}@{places}/{_DATABASE}"

    @property
    def pid(self) -> int:
        """Of the primary."""
        return 0 if self.primary.process is None else self.primary.process.pid

    def start(self) -> None:
        """Start both."""
        self.primary.start()
        self.primary.sql(f"CREATE DATABASE {_DATABASE}")
        self._add_standby(self._ports[1])

    def _add_standby(self, port: int) -> None:
        standby = self._server(port)
        standby.copy_of(self.primary, _STANDBY)
        self.standby = standby.start()
        self.primary.configure(synchronous_standby_names=_STANDBY)

    def look(self, say: Callable[[str], None]) -> None:
        """Fail over if the primary has died."""
        process = self.primary.process
        if process is None or process.poll() is None or self.standby is None:
            return
        say("the primary has gone; its standby is made the primary")
        dead, self.primary = self.primary, self.standby
        dead.kill()
        self.standby = None
        self.primary.promote()
        say(f"the new primary has pid {self.pid}; it gets a standby of its own")
        self._add_standby(dead.port)
        say("the new standby follows; nothing was lost")

    def stop(self) -> None:
        """End both."""
        for server in (self.standby, self.primary):
            if server is not None:
                server.close()
