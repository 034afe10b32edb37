"""A store's URL names a file, or says in one line what it should be."""

from pathlib import Path

import pytest

from goldenpath.compose.stores import hide_password, store_path
from goldenpath.errors import ConfigError


def test_three_slashes_are_relative_and_four_absolute() -> None:
    assert store_path("sqlite:///a/b.db") == Path("a/b.db")
    assert store_path("sqlite:////var/lib/b.db") == Path("/var/lib/b.db")


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("postgresql://u:hush@db/x", "this needs sqlite:///path"),
        ("goldenpath.db", "sqlite:///goldenpath.db"),
        ("sqlite://", "sqlite:///goldenpath.db"),
        ("sqlite:///", "sqlite:///goldenpath.db"),
        ("sqlite:////tmp", "name a file in it"),
        ("mysql://me:hush@x", "sqlite:///goldenpath.db"),
        ("", "sqlite:///goldenpath.db"),
    ],
)
def test_what_cannot_be_opened_is_one_line_without_a_password(url: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match="store: ") as caught:
        store_path(url)
    assert remedy in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_password_is_hidden() -> None:
    assert hide_password("postgresql://me:hush@db:5432/x") == "postgresql://me:...@db:5432/x"
    assert hide_password("sqlite:///x.db") == "sqlite:///x.db"
    shown = hide_password("postgresql://db/x?sslpassword=hush&a=b&password=hush")
    assert shown == "postgresql://db/x?sslpassword=...&a=b&password=..."
