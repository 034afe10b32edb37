"""Files are read in processes; one that ends its process is read by lines, and the others go on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ssot.index import build, workers
from ssot.index.build import facts_of
from ssot.tree.files import Entry, find

READ = build.read_files


def told(_: str, __: int, ___: int) -> None:
    pass


def crashing(root: str, entries: list[Entry]) -> list[build.Answer]:
    if any(entry.path == "app/bad.py" for entry in entries):
        os.abort()
    return READ(root, entries)


def test_a_file_that_ends_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app").mkdir()
    for name in ("a", "b", "bad", "c", "d"):
        (tmp_path / f"app/{name}.py").write_text(f"import {name}_other\nx = 1\n")
    monkeypatch.setattr(workers, "_INLINE_BYTES", 0)
    monkeypatch.setattr(build, "read_files", crashing)
    facts, ids, unreadable = facts_of(tmp_path, find(tmp_path).code, told)
    assert sorted(facts) == [f"app/{name}.py" for name in ("a", "b", "bad", "c", "d")]
    assert facts["app/bad.py"].error == (1, "the parser crashes on it")
    assert [one.module for one in facts["app/bad.py"].imports] == ["bad_other"]
    assert [path for path, one in facts.items() if one.error] == ["app/bad.py"]
    assert unreadable == [] and len(ids) == 5


def test_processes_and_this_one_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.py").write_text(
        "from a import b as c\n\n\nclass D(c):\n    def e(self, f, *, g=1): ...\n"
    )
    entries = find(tmp_path).code
    here = facts_of(tmp_path, entries, told)[0]["m.py"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(workers, "_INLINE_BYTES", 0)
    there = facts_of(tmp_path, entries, told)[0]["m.py"]
    assert here.record == there.record
    again = facts_of(tmp_path, entries, told)[0]["m.py"]  # from the cache
    assert again.record == here.record


def sometimes_aborting(_: str, entries: list[Entry]) -> list[str]:
    if any(entry.path in ("3", "11") for entry in entries):
        os.abort()
    return [entry.path for entry in entries]


def test_only_those_are_blamed_that_end_a_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_INLINE_BYTES", 0)
    monkeypatch.setattr(workers, "_CHUNK_BYTES", 2)
    entries = [Entry(str(number), 1, 1) for number in range(16)]
    found = workers.spread(
        "", entries, sometimes_aborting, lambda _, one: f"crashed {one.path}", told, "reading"
    )
    expected = {str(number) for number in range(16)} - {"3", "11"} | {"crashed 3", "crashed 11"}
    assert sorted(found) == sorted(expected)
