"""Commands that the user gave: tests, and the golden path. They are ended if they hang."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from ssot import git
from ssot.errors import ConfigError, SsotError


@dataclass(frozen=True)
class Ran:
    """A command that ended, or was ended."""

    code: int | None
    """None: it took too long."""
    words: str


def run_command(command: str, folder: Path, seconds: float, roots: Sequence[str] = ()) -> Ran:
    """Run a command in a folder, in a process group of its own. Raises `ConfigError`.

    `roots`: the tree's source folders; what is in them is imported before what is installed.
    """
    return _run(_split(command), folder, seconds, roots)


def _split(command: str) -> list[str]:
    try:
        parts = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"the command {command!r} cannot be read: {error}") from error
    if not parts:
        raise ConfigError("the command is empty")
    return parts


def _run(parts: Sequence[str], folder: Path, seconds: float, roots: Sequence[str]) -> Ran:
    environment = {**git.environment(), "PYTHONDONTWRITEBYTECODE": "1"}
    places = [str(folder / root) for root in roots]
    given = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([*places, *([given] if given else [])])
    try:
        process = subprocess.Popen(
            parts, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise ConfigError(f"the command {parts[0]!r} cannot be run: {error.strerror}") from error
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        return Ran(None, f"it took longer than {seconds:.0f} s")
    except BaseException:
        _end(process)
        raise
    return Ran(process.returncode, out.decode(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            process.communicate(timeout=3)
            break
        except subprocess.TimeoutExpired:
            continue


def run_tests(
    command: str, paths: Sequence[str], folder: Path, seconds: float, roots: Sequence[str] = ()
) -> dict[str, str]:
    """Test id -> `passed`, `failed`, `error`, `skipped`, by a command that takes pytest's options.

    Without paths it runs what it runs by itself.

    A file that cannot be collected is an `error` of its own. Raises `SsotError` if it hangs or
    tells nothing.
    """
    with tempfile.TemporaryDirectory(prefix="ssot-") as aside:
        place = Path(aside) / "tests.xml"
        options = [f"--junitxml={place}", "-q", "-p", "no:cacheprovider",
                   "--continue-on-collection-errors"]  # fmt: skip
        ran = _run([*_split(command), *options, *paths], folder, seconds, roots)
        if ran.code is None:
            raise SsotError(f"the tests hang: {ran.words}")
        try:
            root = ElementTree.parse(place).getroot()
        except (OSError, ElementTree.ParseError) as error:
            last = ran.words.strip().splitlines()[-1:] or ["nothing was printed"]
            raise SsotError(f"{command!r} gave no result of tests: {last[0]}") from error
    found: dict[str, str] = {}
    for case in root.iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        kinds = {child.tag for child in case}
        found[name] = (
            "error" if "error" in kinds else "failed" if "failure" in kinds
            else "skipped" if "skipped" in kinds else "passed"
        )  # fmt: skip
    return found


def newly_failing(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Tests that passed and do not any more; those that are gone are not failures of the others."""
    bad = ("failed", "error")
    return sorted(
        name for name, state in after.items() if state in bad and before.get(name) not in bad
    )
