"""What this distribution promises of itself."""

from __future__ import annotations

import json
import re
import sysconfig
import tomllib
from pathlib import Path

import jsonschema
import pytest
from ssot.analysis import analyse
from ssot.cli import main
from ssot.config import Config
from ssot.resolve.broken import broken_imports
from ssot.rules import RULES
from ssot.show.rule_page import page
from ssot.show.schema import SCHEMAS, schema_of

from tests.conftest import copy_of
from tests.crosscheck import ours, theirs

ROOT = Path(__file__).parent.parent
PACKAGES = ("starlette", "rich", "hypothesis", "pygments")
SITE = Path(sysconfig.get_paths()["purelib"])


def test_it_needs_nothing_of_its_neighbour() -> None:
    assert not [
        path for path in ROOT.rglob("src/**/*.py")
        if re.search(r"^\s*(?:from|import) (?:goldenpath|msgspec)\b", path.read_text(), re.MULTILINE)
    ]  # fmt: skip
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert [re.split(r"[>=<]", one)[0] for one in needs] == ["libcst", "rich", "ruff"]


@pytest.mark.parametrize("name", RULES)
def test_each_rule_has_its_page(name: str) -> None:
    """`python -m tests.pages` writes them."""
    assert (ROOT / "docs" / "rules" / f"{name}.md").read_text() == page(RULES[name])


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_that_works_has_no_broken_import(package: str) -> None:
    analysis = analyse(SITE / package, config=Config())
    assert len(analysis.project.modules) > 30
    assert broken_imports(analysis.project) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_are_those_that_ruff_finds(package: str) -> None:
    modules, mine, unparsed = ours(SITE / package, 40)
    assert len(mine) > 50
    assert mine == {place for place in theirs(SITE / package, modules) if place[0] not in unparsed}


@pytest.mark.parametrize(
    "command",
    [
        ("audit",), ("audit", "--role", "client", "--area", "app", "--relation", "rival"),
        ("init",), ("refs", "shop.payments.client:PaymentClient", "shop.settings"),
        ("explain", "12"), ("tests",), ("plan", "--role", "client"), ("rules",), ("export",),
        ("guard", "--write"), ("gate", "HEAD", "HEAD"), ("migrate", "--role", "client", "--dry-run"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_is_printed_is_what_the_schema_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    root = copy_of("thicket", tmp_path / "tree")
    assert main([*command, "--json", "--root", str(root)]) in (0, 1)
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema_of(command[0]))


def test_schemas_are_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    for command in SCHEMAS:
        assert main(["schema", command]) == 0
        jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


def test_the_report_is_one_page_without_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = copy_of("thicket", tmp_path / "tree")
    target = tmp_path / "report.html"
    assert main(["report", "--root", str(root), "--output", str(target)]) == 0
    text = target.read_text()
    assert not re.search(r"<(?:script|img|iframe)[^>]+src=|<link|@import|url\(|\bfetch\(", text)
    data = json.loads(
        text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    )
    assert set(data["roles"]) == {"client", "config"} and data["trend"][-1]["commit"] == "now"


def test_a_text_is_printed_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(copy_of("thicket", tmp_path / "tree"))
    for command in (["audit"], ["tests"], ["plan", "--role", "config"], ["explain", "45"], ["rules", "rival"],
                    ["refs", "shop.settings:Settings"], ["gate", "HEAD", "HEAD"], ["export"]):  # fmt: skip
        assert main([*command, "--root", root]) == 0
        out = capsys.readouterr().out
        assert out.strip() and "Traceback" not in out
