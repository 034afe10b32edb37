"""Where the demo keeps what it must find again: its store and the key of its tokens."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from goldenpath.errors import ConfigError


def state_directory(environment: Mapping[str, str]) -> Path:
    """Make and give the user's state directory (XDG Base Directory: `$XDG_STATE_HOME`)."""
    base = environment.get("XDG_STATE_HOME") or ""
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "state"
    directory = root / "goldenpath"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"XDG_STATE_HOME: {str(directory)!r} cannot be made ({error.strerror}); "
            "set it to a directory that you may write"
        ) from None
    return directory


def kept_key(directory: Path) -> str:
    """Read the key of the demo's tokens; the first time, make it, readable by its owner alone."""
    path = directory / "demo.key"
    try:
        key = path.read_text(encoding="ascii").strip()
        if len(key) >= 64:
            return key
        path.unlink()
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); remove it") from None
    key = secrets.token_hex(32)
    # Written aside and linked, so that of two starts at once both go on with one key.
    aside = path.with_name(f"demo.key.{os.getpid()}")
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(key + "\n")
        try:
            os.link(aside, path)
        except FileExistsError:
            return kept_key(directory)
        return key
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}); make room for it"
        ) from None
    finally:
        aside.unlink(missing_ok=True)
