"""Where modules begin: source roots, and what the module in a file is called."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable
from dataclasses import dataclass

_PROJECT = ("pyproject.toml", "setup.py", "setup.cfg")


@dataclass(frozen=True)
class Root:
    """A folder in which imports are looked up; `prefix` where the tree itself is a package."""

    folder: str
    prefix: str = ""


class Layout:
    """Names the modules of a tree."""

    def __init__(self, roots: Iterable[Root]) -> None:
        self.roots = sorted(roots, key=lambda root: (-len(root.folder), root.folder))
        """The longest first."""

    def module(self, path: str) -> tuple[str, Root]:
        """The module's name (a package's without `__init__`), and the root it is named from."""
        for root in self.roots:
            if root.folder and not path.startswith(root.folder + "/"):
                continue
            below = path[len(root.folder) + 1 :] if root.folder else path
            parts = below.removesuffix(".py").split("/")
            if parts[-1] == "__init__" and (len(parts) > 1 or root.prefix):
                del parts[-1]
            name = ".".join([root.prefix, *parts] if root.prefix else parts)
            return name, root
        raise AssertionError("the tree itself is a root")


def detect(
    paths: Collection[str], markers: Collection[str], name: str, given: tuple[str, ...] = ()
) -> Layout:
    """Find the source roots.

    `markers`: folders that hold a project file; `name`: what the tree's own folder is called, which
    is a package if it has an `__init__.py`.
    """
    if given:
        folders = {posixpath.normpath(one).removeprefix("./") for one in given}
        roots = [Root("" if folder == "." else folder) for folder in folders]
        return Layout([*roots, *([] if any(not r.folder for r in roots) else [Root("")])])
    if "__init__.py" in paths and name.isidentifier():
        return Layout([Root("", name)])
    folders = {path.partition("/src/")[0] + "/src" for path in paths if "/src/" in path}
    sources = [Root(folder) for folder in folders if posixpath.dirname(folder) in markers]
    if any(path.startswith("src/") for path in paths) and "src/__init__.py" not in paths:
        sources.append(Root("src"))
    return Layout([*dict.fromkeys(sources), Root("")])


def project_folders(names: Iterable[str]) -> set[str]:
    """Folders that hold a project file, out of all paths of a tree."""
    return {posixpath.dirname(path) for path in names if posixpath.basename(path) in _PROJECT}
