"""Does what a reader of a page would do: types its commands, and looks at what comes."""

from __future__ import annotations

import errno
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from goldenpath.testing.ports import free_port
from tests.docs.pages import ROOT, Block, matches

BOUND = 60.0
"""Seconds after which what a page shows has not come."""
_EXPORT = re.compile(r"export (\w+)=")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class _Staying:
    """A command that goes on, on a terminal of its own: a server, a chat."""

    def __init__(self, script: str, directory: Path, environment: dict[str, str]) -> None:
        master, slave = pty.openpty()
        self.process = subprocess.Popen(
            ["bash", "-c", script], cwd=directory, env=environment,
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._master = master
        self._text = ""
        self._seen = 0
        self._grown = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._master, 65536)
            except OSError as error:
                assert error.errno == errno.EIO
                chunk = b""
            with self._grown:
                self._text += chunk.decode(errors="replace").replace("\r", "")
                self._ended = not chunk
                self._grown.notify_all()
            if not chunk:
                return

    @property
    def lines(self) -> list[str]:
        return _ESCAPES.sub("", self._text[self._seen :]).splitlines()

    @property
    def everything(self) -> list[str]:
        """All lines since it began."""
        return _ESCAPES.sub("", self._text).splitlines()

    def expect(self, lines: list[str], *, whole: bool = False) -> None:
        """Wait until the lines have come; they are not looked at again."""
        deadline = time.monotonic() + BOUND
        with self._grown:
            while not matches(lines, self.lines, whole=whole):
                left = deadline - time.monotonic()
                if left <= 0 or (self._ended and not matches(lines, self.lines, whole=whole)):
                    raise AssertionError(
                        "expected:\n" + "\n".join(lines) + "\n\ncame:\n" + "\n".join(self.lines)
                    )
                self._grown.wait(left)
            self._seen = self._text.rfind("\n") + 1

    def close(self) -> None:
        """End it and everything that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(10)
                break
            except subprocess.TimeoutExpired:
                continue
        self.process.wait(10)
        self._reader.join(10)
        os.close(self._master)


class Reader:
    """One reader of one page, in a directory of its own, with ports of its own."""

    def __init__(self, directory: Path, more_ports: Sequence[str] = ()) -> None:
        self.directory = directory
        self.ports = {port: str(free_port()) for port in ("8700", "8701", *more_ports)}
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("GOLDENPATH_", "PYTEST_", "XDG_"))
        }
        self.environment = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(directory),
            "GOLDENPATH_URL": f"http://127.0.0.1:{self.ports['8700']}",
            "GOLDENPATH_PORT": self.ports["8700"],
            "GOLDENPATH_OPS_BIND": f"127.0.0.1:{self.ports['8701']}",
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "PYTHONPATH": f"{ROOT / 'src'}",
        }
        self.terminals: dict[str, _Staying] = {}

    def _here(self, text: str) -> str:
        """With this reader's ports; `make demo` is what the Makefile's target does."""
        text = re.sub(r"^make demo$", "goldenpath demo --port 8700", text)
        return re.sub("|".join(self.ports), lambda found: self.ports[found[0]], text)

    def do(self, block: Block) -> None:
        """Do what a block says."""
        if "file" in block.words:
            path = self.directory / block.words["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._here(block.text))
        elif block.language == "python":
            self._python(block)
        elif block.language == "console" and "by-hand" not in block.words:
            for command, expected in block.commands:
                self._type(block, command, expected)
        elif block.language == "text" and "terminal" in block.words:
            lines = [self._here(line) for line in block.text.splitlines()]
            self.terminals[block.words["terminal"]].expect(lines, whole="ends" in block.words)

    def _type(self, block: Block, command: str, expected: list[str]) -> None:
        command = self._here(command)
        expected = [self._here(line) for line in expected]
        exported = _EXPORT.match(command)
        script = f'{command}\nprintf %s "${exported[1]}"' if exported else command
        if "terminal" in block.words:
            name = block.words["terminal"]
            if name in self.terminals:
                self.terminals.pop(name).close()
            staying = self.terminals[name] = _Staying(script, self.directory, self.environment)
            staying.expect(expected)
            return
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.directory, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=BOUND, check=False,
        )  # fmt: skip
        if exported:
            self.environment[exported[1]] = done.stdout
            return
        wanted = int(block.words.get("exit", "0"))
        assert done.returncode == wanted, f"line {block.line}: {command}\n{done.stdout}"
        if expected or "silent" in block.words:
            assert matches(expected, done.stdout.splitlines(), whole=True), (
                f"line {block.line}: {command}\nexpected:\n"
                + "\n".join(expected)
                + f"\n\ncame:\n{done.stdout}"
            )

    def _python(self, block: Block) -> None:
        script = self.directory / "block.py"
        script.write_text(self._here(block.text))
        done = subprocess.run(
            ["python", "-W", "error", str(script)],
            cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=BOUND, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"line {block.line}:\n{done.stdout}"

    def close(self) -> None:
        """End what still runs."""
        for staying in self.terminals.values():
            staying.close()
