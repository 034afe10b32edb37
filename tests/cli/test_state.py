"""The demo's key survives restarts and is its owner's alone."""

from pathlib import Path

import pytest

from goldenpath.cli.state import kept_key, state_directory
from goldenpath.errors import ConfigError


def test_the_key_is_made_once_and_kept(tmp_path: Path) -> None:
    first = kept_key(tmp_path)
    assert len(first) == 64
    assert kept_key(tmp_path) == first
    assert (tmp_path / "demo.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["demo.key"]


def test_a_key_that_was_cut_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "demo.key").write_text("short")
    assert len(kept_key(tmp_path)) == 64


def test_the_directory_follows_the_environment(tmp_path: Path) -> None:
    directory = state_directory({"XDG_STATE_HOME": str(tmp_path)})
    assert directory == tmp_path / "goldenpath"
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_relative_directory_is_not_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_directory({"XDG_STATE_HOME": "here"}) == tmp_path / ".local/state/goldenpath"


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="XDG_STATE_HOME"):
        state_directory({"XDG_STATE_HOME": str(tmp_path / "file")})
