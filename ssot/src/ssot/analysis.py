"""A tree, read and resolved: what every command begins with."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ssot import config as configuration
from ssot import git
from ssot.config import Config
from ssot.errors import ConfigError
from ssot.index.build import blob_id, facts_of
from ssot.index.compiling import Error, compile_error, compile_errors
from ssot.index.extract import extract
from ssot.index.facts import LEVEL, MODULE, Facts
from ssot.index.newer import reread
from ssot.index.workers import Tell
from ssot.resolve.liveness import settle
from ssot.resolve.project import Project, assemble
from ssot.tree.areas import Areas, test_patterns
from ssot.tree.files import Found, find
from ssot.tree.globs import matcher
from ssot.tree.layout import Layout, detect, project_folders

_quiet: Tell = lambda _, __, ___: None  # noqa: E731
_COMPILED = (".so", ".pyd", ".pyx", ".pyi")


@dataclass
class Analysis:
    """What is known of a tree without asking for a role."""

    root: Path
    config: Config
    project: Project
    layout: Layout
    found: Found
    ids: dict[str, str]
    """The content's id of each file of code."""
    roots: list[str]
    """Modules from which liveness was reckoned."""
    contents: Mapping[str, bytes] | None = None
    """Of a revision: what is in its files. None: they are on the disk."""
    tell: Tell = _quiet
    """Hears of what takes long."""
    kept: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """What was in files that were changed on the disk since then."""

    def read(self, path: str) -> bytes:
        """A file's content; empty if it has gone."""
        if path in self.kept:
            return self.kept[path]
        if self.contents is not None:
            return self.contents.get(path, b"")
        try:
            with open(f"{self.root}/{path}", "rb") as file:  # pathlib takes three times as long
                return file.read()
        except OSError:
            return b""

    def uncompiled(self, within: Collection[str] | None = None) -> dict[str, Error]:
        """Files (only these, if some are given) that parse and do not compile: line and message."""
        paths = {
            path for path, module in self.project.by_path.items()
            if module.facts.error is None and (within is None or path in within)
        }  # fmt: skip
        if self.contents is None:
            entries = [one for one in self.found.code if one.path in paths]
            return compile_errors(self.root, entries, self.ids, self.tell)
        found = ((path, compile_error(self.read(path))) for path in sorted(paths))
        return {path: error for path, error in found if error is not None}


def analyse(root: Path, tell: Tell = _quiet, config: Config | None = None) -> Analysis:
    """Read a tree as it is on the disk. Raises `ConfigError`."""
    if not root.is_dir():
        raise ConfigError(f"{root} is no folder")
    if config is None:
        config = configuration.load(root)
    found = find(root, config.exclude)
    facts, ids, unreadable = facts_of(root, found.code, tell)
    found.skipped = sorted([*found.skipped, *unreadable])
    analysis = _analysed(root, config, found, facts, ids, found.names, None)
    analysis.tell = tell
    _check(analysis)
    return analysis


def _check(analysis: Analysis) -> None:
    """Raises `ConfigError` where `ssot.toml` names what the tree does not have."""
    for name in analysis.config.live:
        if not analysis.project.exists(name):
            raise ConfigError(f"[liveness] roots: there is no module {name!r}")
    for folder in analysis.config.source_roots:
        if not (analysis.root / folder).is_dir():
            raise ConfigError(f"[tree] source_roots: there is no folder {folder!r}")


def analyse_revision(root: Path, revision: str, config: Config | None = None) -> Analysis:
    """Read a tree as it is in a commit. Raises `GitError`, `ConfigError`."""
    listing = git.listing(root, git.revision(root, revision))
    if config is None:
        config = configuration.load(root)
    excluded = matcher(config.exclude)
    wanted = {
        p: b for p, b in listing.items() if p.endswith((".py", ".md", ".rst")) and not excluded(p)
    }
    contents = git.blobs(root, sorted(set(wanted.values())))
    texts = {path: contents[blob] for path, blob in wanted.items() if blob in contents}
    return analyse_contents(root, config, texts, listing)


def analyse_contents(
    root: Path, config: Config, texts: Mapping[str, bytes], names: Mapping[str, str] | None = None
) -> Analysis:
    """Read a tree that is in memory: path to content."""
    by_id: dict[str, Facts] = {}
    ids: dict[str, str] = {}
    for path, data in texts.items():
        if path.endswith(".py"):
            ids[path] = blob_id(data)
            if ids[path] not in by_id:
                by_id[ids[path]] = extract(data)
    broken = {
        sha: (texts[path], by_id[sha]) for path, sha in ids.items() if by_id[sha].error is not None
    }
    by_id |= reread(broken) if broken else {}
    facts = {path: by_id[sha] for path, sha in ids.items()}
    return _analysed(root, config, Found(), facts, ids, list(names or texts), texts)


def _analysed(
    root: Path, config: Config, found: Found, facts: dict[str, Facts], ids: dict[str, str],
    names: list[str], contents: Mapping[str, bytes] | None,
) -> Analysis:  # fmt: skip
    layout = detect(facts.keys(), project_folders(names), root.resolve().name, config.source_roots)
    areas = Areas(config, layout, _packages(facts, layout), test_patterns(root))
    compiled = [_as_module(path) for path in names if path.endswith(_COMPILED)]
    project = assemble(facts, layout, areas, [path for path in compiled if path not in facts])
    roots = settle(project, root, config.live)
    return Analysis(root, config, project, layout, found, ids, roots, contents)


def _packages(facts: Mapping[str, Facts], layout: Layout) -> set[str]:
    """Top-level folders that are imported from, or have an `__init__.py`."""
    named = {path.partition("/")[0] for path in facts if path.endswith("/__init__.py")
             and path.count("/") == 1}  # fmt: skip
    tops = {layout.module(path)[0].partition(".")[0] for path in facts if "/" in path}
    used = {
        one.partition(".")[0]
        for one in {
            raw[MODULE] for one in facts.values() for raw in one.raw_imports if not raw[LEVEL]
        }
    }
    return named | (tops & used)


def _as_module(path: str) -> str:
    folder, name = posixpath.split(path)
    return posixpath.join(folder, name.partition(".")[0] + ".py")
