"""What must not be in the repository, and what must be in step."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from goldenpath.model.entries import CODEC_VERSION
from goldenpath.model.events import EVENT_TYPES
from goldenpath.model.journal import RECORD_TYPES
from goldenpath.wire.schema import json_schema
from tests.architecture.sources import ROOT, texts

# Put together here, so that this file does not hold them.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "conda" + ".io",
]
UNFINISHED = ["TO" + "DO", "FIX" + "ME", "XX" + "X:", "HA" + "CK:"]


def _found(pattern: str) -> list[str]:
    wanted = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if wanted.search(line)
    ]


def test_no_file_names_a_registry() -> None:
    """A lock file with addresses would tie the installation to one of them."""
    assert not _found("|".join(map(re.escape, REGISTRIES)))


def test_no_file_names_a_path_of_a_machine() -> None:
    homes = {str(Path.home()), str(ROOT), "/ho" + "me/", "/Us" + "ers/"} - {"/", "/root"}
    assert not _found("|".join(map(re.escape, sorted(homes))))


def test_nothing_is_left_unfinished() -> None:
    assert not _found(r"\b(" + "|".join(map(re.escape, UNFINISHED)) + r")")


def test_requirements_are_pinned_by_name_alone() -> None:
    for line in (ROOT / "requirements" / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.match(r"^[A-Za-z0-9._-]+==[^\s/]+( ;.*)?$", line), line


def test_base_dependencies_stay_few() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(project["dependencies"]) <= 10
    assert {"demo", "chat"} <= set(project["optional-dependencies"])


@pytest.mark.parametrize("version", range(1, CODEC_VERSION + 1))
def test_every_stored_version_has_a_recorded_history(version: int) -> None:
    """`tests/histories/test_histories.py` decodes them."""
    assert (ROOT / "tests" / "histories" / f"v{version}.jsonl").exists()


def test_the_history_of_this_version_has_every_type() -> None:
    text = (ROOT / "tests" / "histories" / f"v{CODEC_VERSION}.jsonl").read_text()
    missing = [
        name
        for name in {**EVENT_TYPES, **RECORD_TYPES}
        if f'"{name}"' not in text and f'\\"{name}\\"' not in text
    ]
    assert not missing


def test_the_schema_has_every_event_and_each_of_its_fields() -> None:
    defs = json_schema()["$defs"]
    shown = str(defs)
    for name, type_ in EVENT_TYPES.items():
        assert f"'{name}'" in shown, name
        assert set(type_.__struct_fields__) == set(defs[type_.__name__]["properties"]), name
