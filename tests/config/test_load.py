"""A setting is read from the first place that has it: flag, variable, file, application."""

import argparse
from pathlib import Path

import pytest

from goldenpath.config import Settings, add_flags, application_options, load_settings
from goldenpath.errors import ConfigError


def flags(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return parser.parse_args(argv)


def test_without_anything_all_is_default(tmp_path: Path) -> None:
    assert load_settings(flags(), {}, directory=tmp_path) == Settings()


def test_flags_win_over_environment_over_file_over_application(tmp_path: Path) -> None:
    (tmp_path / "goldenpath.toml").write_text(
        "port = 1\nhost = 'file'\ndrain = '5m'\nstore = 'sqlite:///file.db'\n"
        "allow-origin = ['https://a.test', 'https://b.test']\n"
        "[auth]\naudience = 'file'\n[limit]\nmessage = '1KiB'\nruns_at_once = 7\n"
    )
    settings = load_settings(
        flags("--port", "3"),
        {"GOLDENPATH_PORT": "2", "GOLDENPATH_HOST": "environment"},
        directory=tmp_path,
        application={"store": "sqlite:///application.db", "durability": "process"},
    )
    assert (settings.port, settings.host, settings.drain) == (3, "environment", 300.0)
    assert settings.store == "sqlite:///file.db"
    assert settings.durability == "process"
    assert settings.auth_audience == "file"
    assert settings.allow_origin == ("https://a.test", "https://b.test")
    assert settings.limits.message_bytes == 1024
    assert settings.limits.runs_at_once == 7


def test_a_list_may_be_repeated_or_divided_by_commas(tmp_path: Path) -> None:
    given = flags("--allow-origin", "https://a", "--allow-origin", "https://b,https://c")
    settings = load_settings(given, {}, directory=tmp_path)
    assert settings.allow_origin == ("https://a", "https://b", "https://c")


@pytest.mark.parametrize(
    ("file", "parts"),
    [
        ("prot = 1", ("prot", "did you mean port?")),
        ("port = true", ("port", "True", "give a text or number")),
        ("port = [", ("cannot be read",)),
        ("[auth]\nsecret = 'x'", ("auth-secret", "GOLDENPATH_AUTH_SECRET")),
        ("drain = 'soon'", ("goldenpath.toml: drain", "'soon'", "60s")),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, file: str, parts: tuple[str, ...]) -> None:
    (tmp_path / "goldenpath.toml").write_text(file)
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {}, directory=tmp_path)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_misspelt_variable_is_named_and_a_foreign_one_is_none_of_ours(tmp_path: Path) -> None:
    load_settings(None, {"GOLDENPATH_SERVICE_HOST": "10.0.0.1"}, directory=tmp_path)
    with pytest.raises(ConfigError, match="did you mean GOLDENPATH_DURABILITY"):
        load_settings(None, {"GOLDENPATH_DURABILTY": "full"}, directory=tmp_path)


def test_help_shows_every_setting_with_its_default() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    text = " ".join(parser.format_help().split())
    assert "--limit-run DURATION active time of a run (default: 5m; GOLDENPATH_LIMIT_RUN)" in text
    assert "GOLDENPATH_AUTH_SECRET" in text
    assert "--auth-secret" not in text


def test_an_application_gives_settings_by_their_names() -> None:
    given = {
        "limit_run": "10m",
        "limit_runs_at_once": 5,
        "drain": 1.5,
        "allow_origin": ["a"],
        "retention": None,
    }
    assert application_options(given) == {
        "limit-run": 600.0,
        "limit-runs-at-once": 5,
        "drain": 1.5,
        "allow-origin": ("a",),
        "retention": None,
    }


@pytest.mark.parametrize(
    ("given", "remedy"),
    [({"prot": 1}, "did you mean port"), ({"port": "x"}, "whole number"), ({"port": True}, "number"), ({"drain": None}, "number")],
)  # fmt: skip
def test_what_an_application_cannot_give_is_named(given: dict[str, object], remedy: str) -> None:
    with pytest.raises(ConfigError, match=f"App: {next(iter(given))}: .*{remedy}"):
        application_options(given)
