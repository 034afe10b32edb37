"""The command line as a whole: help, versions, errors in one line."""

import pytest

from goldenpath.cli.commands import COMMANDS
from goldenpath.config import SETTINGS
from tests.cli.conftest import Invoke


def test_every_command_is_in_the_help(goldenpath: Invoke) -> None:
    code, out, _ = goldenpath("--help")
    assert code == 0
    for name in COMMANDS:
        assert name in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(goldenpath: Invoke, name: str) -> None:
    code, out, _ = goldenpath(name, "--help")
    assert (code, "usage: goldenpath" in out) == (0, True)


def test_serve_shows_every_setting_with_its_default(goldenpath: Invoke) -> None:
    _, out, _ = goldenpath("serve", "--help")
    text = " ".join(out.split())
    for row in SETTINGS.values():
        assert row.variable in text
        assert row.secret or f"default: {row.shown_default}; {row.variable}" in text


@pytest.mark.parametrize("argv", [[], ["dance"], ["log"], ["runs", "--nonsense"]])
def test_a_command_line_that_is_none_ends_with_2(goldenpath: Invoke, argv: list[str]) -> None:
    assert goldenpath(*argv)[0] == 2


def test_serve_says_what_is_wrong_in_one_line(
    goldenpath: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLDENPATH_PORT", "tcp://10.0.0.1:80")
    code, out, err = goldenpath("serve", "nothere:app")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "goldenpath: GOLDENPATH_PORT: 'tcp://10.0.0.1:80' cannot be used; "
        "give a whole number from 0 to 65535"
    ]
