"""`ssot.toml`: roles, areas, the tree, where liveness begins."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ssot.errors import ConfigError

FILE = "ssot.toml"
RELATIONS = (
    "canonical", "ghost", "alias", "re_export", "test_double", "interface", "subclass", "adapter",
    "factory", "other_role", "core", "rival",
)  # fmt: skip
"""What a member can be to the canonical, the first that holds."""
AREAS = ("test", "backup", "app", "tooling")


@dataclass(frozen=True)
class Role:
    """One thing that a code base should have once; `canonical` is `package.module:Name`."""

    name: str
    canonical: str
    names: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    constructors: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """What was given; an empty one where there is no `ssot.toml`."""

    roles: dict[str, Role] = field(default_factory=dict[str, Role])
    areas: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    source_roots: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    live: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    """Modules and symbols that must not come back."""


_ROLE = {
    "canonical": str, "names": list, "methods": list, "events": list, "constructors": list,
    "exclude": list,
}  # fmt: skip
_TABLES: dict[str, dict[str, type]] = {
    "areas": dict.fromkeys(AREAS, list),
    "tree": {"source_roots": list, "exclude": list},
    "liveness": {"roots": list},
    "retired": {"symbols": list},
}


def load(root: Path) -> Config:
    """Read the tree's `ssot.toml`, if it has one. Raises `ConfigError`."""
    path = root / FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{FILE} cannot be read: {error}") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{FILE}: {error}") from error
    return parse(document)


def parse(document: dict[str, Any]) -> Config:
    """Check what a `ssot.toml` says. Raises `ConfigError`."""
    unknown = document.keys() - _TABLES.keys() - {"roles"}
    if unknown:
        raise ConfigError(
            f"{FILE}: there is no table [{min(unknown)}]; there are [roles.NAME], "
            + ", ".join(f"[{name}]" for name in _TABLES)
        )
    tables = {name: _table(f"[{name}]", document.get(name, {}), shape)
              for name, shape in _TABLES.items()}  # fmt: skip
    roles = document.get("roles", {})
    if not isinstance(roles, dict):
        raise ConfigError(f"{FILE}: roles are tables: [roles.NAME]")
    named = cast("dict[str, Any]", roles)
    return Config(
        roles={name: _role(name, value) for name, value in named.items()},
        areas={name: tuple(globs) for name, globs in tables["areas"].items()},
        source_roots=tuple(tables["tree"].get("source_roots", ())),
        exclude=tuple(tables["tree"].get("exclude", ())),
        live=tuple(tables["liveness"].get("roots", ())),
        retired=tuple(tables["retired"].get("symbols", ())),
    )


def _role(name: str, value: Any) -> Role:
    table = _table(f"[roles.{name}]", value, _ROLE)
    canonical = table.pop("canonical", None)
    if canonical is None:
        raise ConfigError(f'{FILE}: [roles.{name}] needs canonical = "package.module:Name"')
    module, colon, qualname = canonical.partition(":")
    if not (colon and module and qualname):
        raise ConfigError(
            f"{FILE}: [roles.{name}] canonical = {canonical!r}; write it as package.module:Name"
        )
    return Role(name, canonical, **{key: tuple(texts) for key, texts in table.items()})


def _table(name: str, value: Any, shape: dict[str, type]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{FILE}: {name} must be a table")
    given = cast("dict[str, Any]", value)
    for key, one in given.items():
        if key not in shape:
            raise ConfigError(f"{FILE}: {name} has no {key!r}; it has {', '.join(shape)}")
        texts: list[Any] = cast("list[Any]", one) if isinstance(one, list) else [one]
        if not isinstance(one, shape[key]) or not all(isinstance(text, str) for text in texts):
            wanted = "a list of texts" if shape[key] is list else "a text"
            raise ConfigError(f"{FILE}: {name} {key} must be {wanted}, not {one!r}")
    return dict(given)
