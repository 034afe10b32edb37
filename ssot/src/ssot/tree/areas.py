"""To which area a file belongs: test, backup, app, tooling."""

from __future__ import annotations

import configparser
import posixpath
import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, cast

from ssot.config import AREAS, Config
from ssot.tree.globs import matcher
from ssot.tree.layout import Layout

_BACKUP = ("**/backup*/**", "**/archive*/**")
_ASIDE = matcher(("scripts", "tools", "examples"))


class Areas:
    """Sorts paths into areas; the first area whose patterns match wins."""

    def __init__(
        self, config: Config, layout: Layout, packages: Collection[str], tests: tuple[str, ...]
    ) -> None:
        """`packages`: top-level names that can be imported; `tests`: patterns of the test runner."""
        self._layout = layout
        self._packages = frozenset(packages)
        defaults: dict[str, Callable[[str], bool]] = {
            "test": matcher(tests),
            "backup": matcher(_BACKUP),
            "app": self._importable,
            "tooling": lambda _: True,
        }
        order = [*config.areas, *(area for area in AREAS if area not in config.areas)]
        self._rules = [
            (area, matcher(config.areas[area]) if area in config.areas else defaults[area])
            for area in order
        ]

    def area(self, path: str) -> str:
        """One of `AREAS`."""
        return next((area for area, matches in self._rules if matches(path)), "tooling")

    def _importable(self, path: str) -> bool:
        if _ASIDE(path):
            return False
        module, root = self._layout.module(path)
        top, _, rest = module.partition(".")
        if root.folder or root.prefix:
            return True
        return top in self._packages and (bool(rest) or path.endswith("__init__.py"))


def test_patterns(root: Path) -> tuple[str, ...]:
    """What pytest collects here, as patterns, with the folders and files that are always tests."""
    options = _pytest_options(root)
    paths = _words(options.get("testpaths", ()))
    files = file_patterns(root)
    below = [posixpath.normpath(path).removeprefix("./") for path in paths]
    below = [path for path in below if path != "."]
    return (*(f"{path}/**" for path in below), *files, "test", "tests", "conftest.py")


def file_patterns(root: Path) -> tuple[str, ...]:
    """How the files are called in which pytest looks for tests."""
    options = _pytest_options(root)
    return tuple(_words(options.get("python_files", ())) or ["test_*.py", "*_test.py"])


def _words(value: Any) -> list[str]:
    return value.split() if isinstance(value, str) else [str(one) for one in value]


def _pytest_options(root: Path) -> dict[str, Any]:
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
        options = project.get("tool", {}).get("pytest", {}).get("ini_options")
        if isinstance(options, dict):
            return cast("dict[str, Any]", options)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError):
        pass
    for name, section in (
        ("pytest.ini", "pytest"),
        ("setup.cfg", "tool:pytest"),
        ("tox.ini", "pytest"),
    ):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(root / name, "utf-8")
            if parser.has_section(section):
                return dict(parser[section])
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue
    return {}
