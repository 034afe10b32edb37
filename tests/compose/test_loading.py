"""Whatever is wrong with the application that `serve` is given is one line with a remedy."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldenpath.compose.app import App
from goldenpath.compose.loading import load_app
from goldenpath.errors import ConfigError

GOOD = """
from goldenpath.compose.app import App
from goldenpath.engine.definitions import agent, tool

@tool
async def look(query: str) -> str:
    return query

@agent("one", tools=[look])
async def one(run, message):
    return message

app = App([one])
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), sys.path[:]
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", "").startswith(str(tmp_path)):
            del sys.modules[name]


def test_an_application_is_found_in_the_current_directory(here: Path) -> None:
    (here / "shop.py").write_text(GOOD)
    assert isinstance(load_app("shop:app"), App)


@pytest.mark.parametrize(
    ("name", "code", "target", "parts"),
    [
        ("m1", GOOD, "m1", ("'m1'", "main:app")),
        ("m2", GOOD, "m2:", ("main:app",)),
        ("m3", GOOD, "nothere:app", ("no module 'nothere'", "install it")),
        ("m4", GOOD, "m4:application", ("no 'application'", "m4:app")),
        ("m5", GOOD, "m5:one", ("is a Agent", "goldenpath.App")),
        ("m6", "x = = 1", "m6:app", ("invalid syntax", "m6.py:1")),
        ("m7", "import nothere_either", "m7:app", ("needs 'nothere_either'", "m7.py:1")),
        ("m8", "\n1 / 0", "m8:app", ("m8.py:2", "ZeroDivisionError", "mend it")),
        ("m9", GOOD.replace("query: str", "query"), "m9:app", ("m9.py", "'look'", "query: str")),
        ("m10", GOOD.replace("[look]", "[look, look]"), "m10:app", ("'look'", "rename")),
        ("m11", GOOD.replace("App([one])", "App([])"), "m11:app", ("m11.py", "at least one")),
        ("m12", GOOD.replace("App([one])", "App([one], store='oracle://x')"), "m12:app", ("store", "oracle")),
        ("m13", GOOD.replace("App([one])", "App([one], durabilty='full')"), "m13:app", ("durabilty", "durability")),
        ("m14", GOOD.replace("App([one])", "App([one], drain='soon')"), "m14:app", ("drain", "60s")),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_naming_the_thing_and_the_remedy(
    here: Path, name: str, code: str, target: str, parts: tuple[str, ...]
) -> None:
    (here / f"{name}.py").write_text(code)
    with pytest.raises(ConfigError) as caught:
        load_app(target)
    line = str(caught.value)
    assert "\n" not in line
    for part in parts:
        assert part in line
