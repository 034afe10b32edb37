"""The table of settings is whole: each has a name, a help, a default that it can itself read."""

import msgspec
import pytest

from goldenpath.config.settings import _LIMITS_HELP, SETTINGS, Setting, Settings, split_address
from goldenpath.engine.limits import Limits
from goldenpath.errors import ConfigError


def test_every_field_of_the_structs_is_a_setting() -> None:
    fields = {(row.limit, row.field) for row in SETTINGS.values()}
    expected = {(False, field.name) for field in msgspec.structs.fields(Settings)}
    expected |= {(True, field.name) for field in msgspec.structs.fields(Limits)}
    assert fields == expected - {(False, "limits")}


def test_every_limit_is_explained() -> None:
    assert set(_LIMITS_HELP) == {field.name for field in msgspec.structs.fields(Limits)}


@pytest.mark.parametrize("row", SETTINGS.values(), ids=lambda row: row.name)
def test_a_default_as_shown_is_read_as_the_default(row: Setting) -> None:
    if row.default is None:
        assert row.parse("none", row.flag) is None
    elif row.default != ():
        assert row.parse(row.shown_default, row.flag) == row.default
    assert row.help
    assert row.flag.startswith("--")
    assert row.variable.startswith("GOLDENPATH_")


@pytest.mark.parametrize(
    ("name", "text", "remedy"),
    [
        ("port", "http", "whole number from 0 to 65535"),
        ("port", "70000", "whole number from 0 to 65535"),
        ("ops-bind", "8701", "host:port"),
        ("durability", "most", "full, process"),
        ("drain", "soon", "60s"),
        ("limit-message", "64KB", "64KiB"),
        ("limit-message", "0", "more than 0"),
        ("limit-runs-at-once", "0", "from 1"),
        ("retention", "ninety", "90d"),
        ("store", "", "not empty"),
    ],
)
def test_a_bad_value_names_the_setting_the_value_and_the_remedy(
    name: str, text: str, remedy: str
) -> None:
    row = SETTINGS[name]
    with pytest.raises(ConfigError) as caught:
        row.parse(text, row.flag)
    line = str(caught.value)
    assert "\n" not in line
    assert row.flag in line
    assert repr(text) in line
    assert remedy in line


def test_a_secret_is_never_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        Setting(name="s", field="s", kind="port", default=None, help="", secret=True).parse(
            "hush", "S"
        )
    assert "hush" not in str(caught.value)


def test_addresses_may_be_of_both_families() -> None:
    assert split_address("127.0.0.1:8701") == ("127.0.0.1", 8701)
    assert split_address("[::1]:1") == ("::1", 1)
