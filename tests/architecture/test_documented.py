"""Settings, commands, metrics, routes, targets and links: what the pages name is there, and all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from goldenpath.cli.commands import COMMANDS, make_parser
from goldenpath.config import SETTINGS
from goldenpath.server.table import OPERATIONS
from goldenpath.telemetry.metrics import Metrics
from tests.architecture.sources import ROOT
from tests.docs.pages import PAGES, blocks
from tests.docs.settings import with_table

OPERATING = (ROOT / "docs" / "operating.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def test_the_table_of_settings_is_the_code_s() -> None:
    """`python -m tests.docs.settings` mends it."""
    assert with_table(OPERATING) == OPERATING


def test_serve_takes_every_setting_and_no_other() -> None:
    parser = make_parser()
    serve = parser._subparsers._group_actions[0].choices["serve"]  # type: ignore[union-attr, index]
    flags = {flag for action in serve._actions for flag in action.option_strings} - {"-h", "--help"}
    assert flags == {row.flag for row in SETTINGS.values() if not row.secret}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_documented(command: str) -> None:
    assert re.search(rf"^\| `goldenpath {command}\b", OPERATING, re.MULTILINE)


def test_commands_that_the_pages_name_exist() -> None:
    for page in PAGES:
        for command in re.findall(r"(?:`|\$ |\| )goldenpath ([a-z][a-z-]*)", page.read_text()):
            assert command in COMMANDS, f"{page.name}: goldenpath {command}"


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_that_the_pages_name_exist(command: str) -> None:
    subparser = make_parser()._subparsers._group_actions[0].choices[command]  # type: ignore[union-attr, index]
    known = {flag for action in subparser._actions for flag in action.option_strings}
    for page in PAGES:
        for line in re.findall(rf"goldenpath {command}\b([^`|\n]*)", page.read_text()):
            for flag in re.findall(r"(?<!\S)--[a-z-]+", line.partition("&&")[0]):
                assert flag in known, f"{page.name}: goldenpath {command} {flag}"


def test_metrics_are_documented_and_exist() -> None:
    shown = Metrics().render().decode()
    exist = set(re.findall(r"^# TYPE (\w+) ", shown, re.MULTILINE))
    named = set(re.findall(r"`(goldenpath_\w+)", OPERATING))
    families = {re.sub(r"_total$", "", name) for name in named}
    assert {re.sub(r"_total$", "", name) for name in exist} == families


def test_every_route_is_documented() -> None:
    """The table of the page is the table of the code."""
    for operation in OPERATIONS:
        assert f"`{operation.method} {operation.path}`" in PROTOCOL, operation.path


def test_targets_that_the_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"(?:`|\$ )make ([a-z]+)", page.read_text()):
            assert target in targets, f"{page.name}: make {target}"


def test_every_target_is_complete_by_itself() -> None:
    """Each needs nothing to be done before."""
    for target in ("demo", "test", "check", "bench", "mutants"):
        assert re.search(rf"^{target}:.*\bsetup\b", MAKEFILE, re.MULTILINE), target


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "deploy" / "README.md"], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    later = {ROOT / "benchmarks" / "RESULTS.md"}
    for link, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
        target = (page.parent / link).resolve() if link else page
        assert target.exists() or target in later, f"{page.name}: {link}"
        if anchor:
            assert anchor in _anchors(target), f"{page.name}: {link}#{anchor}"


def _anchors(page: Path) -> set[str]:
    """What the headings of a page can be linked by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_example_escapes_execution(page: Path) -> None:
    """A block of code is executed, or says that it is not; pages that are run are named in test_tour."""
    run = {
        "README.md",
        "concepts.md",
        "writing-agents.md",
        "replayable-agents.md",
        "operating.md",
        "protocol.md",
        "runbook.md",
        "testing.md",
    }
    for block in blocks(page):
        if block.language in ("console", "python", "http", "socket", "sse", "bash", "sh"):
            assert block.language not in ("bash", "sh"), (
                f"{page.name}:{block.line}: console, not {block.language}"
            )
            assert page.name in run or "by-hand" in block.words, f"{page.name}:{block.line}"


def test_files_that_the_architecture_names_exist() -> None:
    for name in re.findall(
        r"`([a-z_]+/[a-z_/]+(?:\.py)?/?)`", (ROOT / "ARCHITECTURE.md").read_text()
    ):
        found = [
            base / name for base in (ROOT, ROOT / "src" / "goldenpath") if (base / name).exists()
        ]
        assert found, name


def test_the_readme_says_first_what_it_is() -> None:
    first = (ROOT / "README.md").read_text().splitlines()[0]
    assert first.startswith("# Goldenpath") and "answers" in first


def test_the_ci_runs_what_the_readme_says() -> None:
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")
