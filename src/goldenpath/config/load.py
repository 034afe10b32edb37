"""Reads settings: flags, then environment, then `goldenpath.toml`, then the application's own."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import msgspec

from goldenpath.config.settings import SETTINGS, Setting, Settings
from goldenpath.errors import ConfigError

CONFIG_FILE = "goldenpath.toml"
_PREFIX = "GOLDENPATH_"
_OTHER_VARIABLES = frozenset({"GOLDENPATH_URL", "GOLDENPATH_TOKEN"})
"""Read by clients, not by the server."""


def add_flags(parser: argparse.ArgumentParser, names: Iterable[str] | None = None) -> None:
    """Add the flags of the settings of these names (all, without) with help and defaults."""
    group = parser.add_argument_group("settings")
    limits = None
    for name in SETTINGS if names is None else names:
        row = SETTINGS[name]
        if row.limit and limits is None:
            limits = parser.add_argument_group("limits")
        target = limits if row.limit and limits is not None else group
        text = f"{row.help} (default: {row.shown_default}; {row.variable})".replace("%", "%%")
        if row.secret:
            parser.epilog = f"{parser.epilog or ''}{row.variable}: {row.help}. "
            continue
        target.add_argument(
            row.flag,
            dest=_dest(row),
            metavar="{" + ",".join(row.choices) + "}" if row.choices else row.kind.upper(),
            action="append" if row.kind == "list" else "store",
            help=text,
        )


def load_settings(
    flags: argparse.Namespace | None,
    environment: Mapping[str, str],
    *,
    directory: Path | None = None,
    application: Mapping[str, Any] | None = None,
) -> Settings:
    """Read every setting from the first place that has it. Raises `ConfigError`.

    `directory` is where `goldenpath.toml` is looked for (the current one, without);
    `application` holds values given in code by their names, used where no other place says more.
    """
    file = _read_file((directory or Path.cwd()) / CONFIG_FILE)
    _refuse_misspelt(environment)
    values: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for row in SETTINGS.values():
        found = _find(row, flags, environment, file)
        if found is None:
            if application and row.name in application:
                (limits if row.limit else values)[row.field] = application[row.name]
            continue
        source, text = found
        (limits if row.limit else values)[row.field] = row.parse(text, source)
    settings = Settings(**values)
    return msgspec.structs.replace(
        settings, limits=msgspec.structs.replace(settings.limits, **limits)
    )


def application_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Check the settings given in code, by their names with `_`; texts are read with units.

    Raises `ConfigError` for a name that is none, or a value that cannot be used.
    """
    checked: dict[str, Any] = {}
    for given, value in options.items():
        name = given.replace("_", "-")
        row = SETTINGS.get(name)
        if row is None:
            raise ConfigError(f"App: {given}: no such setting{_closest(name, SETTINGS)}")
        if isinstance(value, str):
            checked[name] = row.parse(value, f"App: {given}")
        elif row.kind == "list":
            checked[name] = tuple(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            checked[name] = row.parse(repr(value), f"App: {given}")
        elif value is None and row.optional:
            checked[name] = None
        else:
            raise ConfigError(f"App: {given}: {value!r} cannot be used; give a text or a number")
    return checked


def _dest(row: Setting) -> str:
    return "setting_" + row.name.replace("-", "_")


def _find(
    row: Setting,
    flags: argparse.Namespace | None,
    environment: Mapping[str, str],
    file: Mapping[str, str],
) -> tuple[str, str] | None:
    given: str | list[str] | None = getattr(flags, _dest(row), None)
    if given is not None:
        return row.flag, ",".join(given) if isinstance(given, list) else given
    if row.variable in environment:
        return row.variable, environment[row.variable]
    if row.name in file:
        where = f"{CONFIG_FILE}: {row.name}"
        if row.secret:
            raise ConfigError(
                f"{where}: a secret is not kept in a file; set {row.variable} instead"
            )
        return where, file[row.name]
    return None


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """Refuse near misses only: platforms add variables of their own with any prefix."""
    known = {row.variable for row in SETTINGS.values()} | _OTHER_VARIABLES
    for name in sorted(environment):
        if name.startswith(_PREFIX) and name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.9)
            if near:
                raise ConfigError(f"{name}: no such setting; did you mean {near[0]}?")


def _closest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else "; see `goldenpath serve --help`"


def _read_file(path: Path) -> dict[str, str]:
    """Flatten the file: `[auth]` `audience` is `auth-audience`, and values become texts."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{CONFIG_FILE}: cannot be read: {error}; mend or remove it") from None
    flat: dict[str, str] = {}
    _flatten(tree, "", flat)
    for name in flat:
        if name not in SETTINGS:
            raise ConfigError(f"{CONFIG_FILE}: {name}: no such setting{_closest(name, SETTINGS)}")
    return flat


def _flatten(tree: Mapping[str, Any], prefix: str, flat: dict[str, str]) -> None:
    for key, value in tree.items():
        name = prefix + key.replace("_", "-")
        if isinstance(value, dict):
            _flatten(cast("dict[str, Any]", value), name + "-", flat)
        elif isinstance(value, list):
            flat[name] = ",".join(str(item) for item in cast("list[Any]", value))
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            flat[name] = str(value)
        else:
            raise ConfigError(
                f"{CONFIG_FILE}: {name}: {value!r} cannot be used; give a text or number"
            )
