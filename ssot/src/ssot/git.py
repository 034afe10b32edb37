"""What is asked of git, by its command line."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ssot.errors import GitError

_OF_A_REPOSITORY = frozenset(
    {"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_DIR", "GIT_GRAFT_FILE",
     "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NAMESPACE",
     "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_QUARANTINE_PATH",
     "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE"}
)  # fmt: skip
"""As `git rev-parse --local-env-vars` lists them."""


def environment() -> dict[str, str]:
    """This process's, without what says (in a hook, say) which repository is meant: that is decided by
    the folder in which a command runs, or the user's own checkout would be written."""
    return {name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY}


def run(root: Path, *arguments: str, given: bytes | None = None) -> bytes:
    """Run git in a folder. Raises `GitError` with its words."""
    try:
        done = subprocess.run(
            ["git", "-c", "core.quotepath=off", *arguments],
            cwd=root, input=given, capture_output=True, check=False, env=environment(),
        )  # fmt: skip
    except FileNotFoundError as error:
        raise GitError("git is not installed; this command needs it") from error
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise GitError(f"git {arguments[0]}: {words[-1]}")
    return done.stdout


def lines(root: Path, *arguments: str) -> list[str]:
    """The lines that git prints."""
    return run(root, *arguments).decode(errors="surrogateescape").splitlines()


def files(root: Path) -> list[str] | None:
    """Paths that git knows or would not ignore; None outside a repository, or where it is ignored."""
    try:
        found = run(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    except GitError:
        return None
    paths = [path for path in found.decode(errors="surrogateescape").split("\0") if path]
    return paths or None


def changed(root: Path, since: str) -> set[str]:
    """Files that differ from a revision, also those that git does not know yet."""
    known = revision(root, since)
    found = set(lines(root, "diff", "--name-only", "--relative", "--diff-filter=d", known))
    return found | set(lines(root, "ls-files", "--others", "--exclude-standard"))


def top(root: Path) -> Path:
    """The repository's folder. Raises `GitError`."""
    return Path(run(root, "rev-parse", "--show-toplevel").decode().strip())


def revision(root: Path, name: str) -> str:
    """The full id of a commit. Raises `GitError` if there is none of that name."""
    try:
        return run(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()
    except GitError as error:
        top(root)  # without a repository this says so
        raise GitError(f"there is no revision {name!r} in this repository") from error


def blobs(root: Path, ids: Sequence[str]) -> dict[str, bytes]:
    """The contents of blobs, by their ids."""
    if not ids:
        return {}
    out = run(root, "cat-file", "--batch", given="\n".join(ids).encode() + b"\n")
    found: dict[str, bytes] = {}
    at = 0
    for one in ids:
        end = out.index(b"\n", at)
        header = out[at:end].split()
        if len(header) < 3:  # missing
            at = end + 1
            continue
        size = int(header[2])
        found[one] = out[end + 1 : end + 1 + size]
        at = end + 2 + size
    return found


def listing(root: Path, revision_id: str) -> dict[str, str]:
    """Path -> blob id of all files of a commit, relative to the folder."""
    found: dict[str, str] = {}
    out = run(root, "ls-tree", "-r", "-z", revision_id, ".").decode(errors="surrogateescape")
    for line in out.split("\0"):
        if line:
            meta, path = line.split("\t", 1)
            mode, kind, blob = meta.split()
            if kind == "blob" and mode != "120000":
                found[path] = blob
    return found
