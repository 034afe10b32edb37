"""Finds the application that `MODULE:APP` names; what is wrong with it becomes one line."""

from __future__ import annotations

import importlib
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path

from goldenpath.compose.app import App
from goldenpath.errors import ConfigError


def load_app(target: str) -> App:
    """Import `module:attribute` from the current directory or the path. Raises `ConfigError`."""
    name, colon, attribute = target.partition(":")
    if not name or not colon or not attribute:
        raise ConfigError(
            f"MODULE:APP: {target!r} cannot be used; give a module and the App in it, "
            "such as main:app for `app = App(...)` in main.py"
        )
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    module = _import(name)
    found = getattr(module, attribute, None)
    if found is None:
        names = [key for key, value in vars(module).items() if isinstance(value, App)]
        near = names or get_close_matches(attribute, vars(module), n=1)
        remedy = (
            f"did you mean {name}:{near[0]}?" if near else f"write {attribute} = App(agents=[...])"
        )
        raise ConfigError(f"MODULE:APP: module {name!r} has no {attribute!r}; {remedy}")
    if not isinstance(found, App):
        raise ConfigError(
            f"MODULE:APP: {target!r} is a {type(found).__name__}; give a goldenpath.App"
        )
    return found


def _import(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ConfigError as error:
        raise ConfigError(f"{_place(error, name)}{error}") from None
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise ConfigError(
                f"MODULE:APP: there is no module {error.name!r}; "
                "start in its directory or install it"
            ) from None
        raise ConfigError(
            f"MODULE:APP: module {name!r} needs {error.name!r}, which is not installed; "
            f"{_place(error, name)}install it or mend the import"
        ) from None
    except SyntaxError as error:
        raise ConfigError(
            f"MODULE:APP: module {name!r} cannot be imported: {error.msg} "
            f"({error.filename}:{error.lineno}); mend it"
        ) from None
    except Exception as error:  # whatever the user's module does at import
        raise ConfigError(
            f"MODULE:APP: module {name!r} cannot be imported: {_place(error, name)}"
            f"{type(error).__name__}: {error}; mend it"
        ) from None


def _place(error: BaseException, name: str) -> str:
    """Where in the user's own module it happened: `main.py:12: `."""
    stem = name.rpartition(".")[2]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.stem == stem or (path.name == "__init__.py" and path.parent.name == stem):
            return f"{path.name}:{frame.lineno}: "
    return ""
