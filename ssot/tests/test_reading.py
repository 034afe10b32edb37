"""What an audit says of small trees, each with what it must be: the words of the contract, one by one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ssot.cli import main

from tests.conftest import BASE, OLD, Plant
from tests.truth import parses_here

TREE = {**BASE, "app/old.py": OLD}


def audited(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["audit", "--json", "--root", str(root)]) == 0
    return json.loads(capsys.readouterr().out)


def role(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return audited(root, capsys)["roles"]["engine"]


def relations(found: dict[str, Any]) -> dict[str, str]:
    return {one["symbol"]: one["relation"] for one in found["members"]}


@pytest.mark.parametrize(
    "package", ["from . import old\n", "from app import old\n", "import app.old\n"]
)
def test_what_a_package_imports_of_itself_is_live(
    package: str, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = BASE["ssot.toml"] + '[liveness]\nroots = ["app.main"]\n'
    root = plant(TREE | {"ssot.toml": toml, "app/__init__.py": package,
                         "app/main.py": "import app\n\napp.old.OldEngine().run()\n"})  # fmt: skip
    found = audited(root, capsys)
    assert found["modules"]["app.old"]["liveness"] == "live"
    (made,) = [c for c in found["roles"]["engine"]["constructions"] if c["path"] == "app/main.py"]
    assert made["target"] == "app.old:OldEngine"
    assert main(["plan", "--json", "--root", str(root)]) == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert not [one for one in steps if one["phase"] == "dead"]


def test_names_that_expressions_and_patterns_bind_are_there(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(BASE | {
        "app/vals.py": "if (k := 1):\n    pass\nmatch [1, 2]:\n    case [q, *o]:\n        pass\n    case {'z': z, **p}:\n        pass\n",
        "app/use.py": "from app.vals import k, o, p, q, z\n",
    })  # fmt: skip
    assert audited(root, capsys)["broken"] == []


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("type Number = int\n", "3.12"),
        ("def f[T](x: T) -> T: ...\n", "3.12"),
        ("def f[T = int](x: T) -> T: ...\n", "3.13"),
        ("try:\n    pass\nexcept ValueError, TypeError:\n    pass\n", "3.14"),
        ('print "hello"\n', None),
        ('x = b"é"\n', None),
        ("x = {**a for a in b}\n", None),
        (f"x = {'9' * 5000}\n", None),
    ],
)
def test_only_what_is_known_to_be_newer_is_newer(
    text: str, since: str | None, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    found = audited(plant(BASE | {"app/x.py": text}), capsys)["unparsed"]
    assert [one["parses_on"] for one in found] == ([] if parses_here(since) else [since])


@pytest.mark.parametrize("text", ["1+" * 20000 + "1", "a" + ".b" * 20000, "-" * 20000 + "1"])
def test_a_file_that_is_nested_too_deeply_takes_no_time(
    text: str, plant: Plant, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssot.index import newer

    def never(_: object) -> list[object]:
        raise AssertionError("it was read a second time")

    monkeypatch.setattr(newer, "_ask", never)
    (one,) = audited(plant(BASE | {"app/x.py": f"X = {text}\n"}), capsys)["unparsed"]
    assert one["path"] == "app/x.py" and one["parses_on"] is None


def test_a_path_that_is_no_text(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = plant(BASE)
    name = os.fsencode(root) + b"/app/caf\xe9.py"
    with open(name, "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(b"from app.engine import Engine as Local\n\nLocal().run()\n")
    found = role(root, capsys)
    (alias,) = [one for one in found["members"] if one["relation"] == "alias"]
    assert os.fsencode(alias["path"]) == b"app/caf\xe9.py"
    for command in (["guard", "--write"], ["tests"], ["explain", "3"], ["export"], ["audit"]):
        assert main([*command, "--root", str(root)]) in (0, 1)
        capsys.readouterr().out.encode()


def test_a_subclass_of_an_alias(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = plant(BASE | {
        "app/names.py": "from app.engine import Engine\n\nEng = Engine\n",
        "app/subs.py": "from app.names import Eng\n\n\nclass Mine(Eng):\n    pass\n",
    })  # fmt: skip
    assert relations(role(root, capsys))["app.subs:Mine"] == "subclass"


def test_a_circle_of_re_exports_has_no_such_name(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(BASE | {
        "app/one.py": "from app.two import Engine\n", "app/two.py": "from app.one import Engine\n",
        "app/use.py": "from app.one import Engine\n",
        "app/selfish.py": "class Fine:\n    pass\n\n\nif __name__ == '__main__':\n    from app.selfish import Fine\n",
        "app/uses.py": "from app.selfish import Fine\n",
    })  # fmt: skip
    broken = audited(root, capsys)["broken"]
    assert {one["path"] for one in broken} == {"app/one.py", "app/two.py", "app/use.py"}


def test_a_name_that_a_module_of_the_same_name_has_is_not_missing(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(BASE | {
        "libs/one/pyproject.toml": "", "libs/one/src/kit/__init__.py": "A = 1\n",
        "libs/two/pyproject.toml": "", "libs/two/src/kit/__init__.py": "B = 2\n",
        "libs/two/src/use.py": "from kit import A, B, C\n",
    })  # fmt: skip
    assert [one["name"] for one in audited(root, capsys)["broken"]] == ["C"]


def test_a_module_that_is_made_anew_may_have_any_name(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(BASE | {
        "app/late.py": "from helper import recreate_module\n\nold, new = recreate_module(  # anew\n    __name__, {})\n",
        "app/use.py": "from app.late import anything\n",
    })  # fmt: skip
    assert audited(root, capsys)["broken"] == []


def test_a_list_of_names_that_is_put_together_may_hold_more(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(BASE | {
        "app/parts.py": "def count(): ...\n\n\nparts_all = ['count']\n",
        "app/models.py": "from app.parts import *\nfrom app.parts import count, parts_all\n\n__all__ = parts_all\n"
        "__all__ += ['other']\nother = 1\n",
        "app/more.py": "from app.models import *\n",
        "app/shut.py": "from app.parts import count\n\n__all__ = ['x'] + ['y']\nx = y = 1\n",
        "app/open.py": "from app.shut import *\n",
        "app/use.py": "from app.more import count, other\nfrom app.open import count as shut, x, y\n",
    })  # fmt: skip
    broken = audited(root, capsys)["broken"]
    assert [(one["path"], one["line"], one["name"]) for one in broken] == [
        ("app/use.py", 2, "count")
    ]


def test_what_a_function_calls_by_its_own_name_is_no_construction(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(BASE | {"app/use.py": """
from functools import partial as later

from app.engine import Engine


def given(Engine): return Engine()
def bound():
    Engine = dict
    return Engine()
def handed(engine: Engine): return engine
def renamed():
    Kind = Engine
    return Kind()


MAKE = later(Engine)
"""})  # fmt: skip
    found = role(root, capsys)
    assert [(one["line"], one["how"]) for one in found["constructions"]] == [
        (14, "call"),
        (17, "partial"),
    ]
    factories = {s for s, relation in relations(found).items() if relation == "factory"}
    assert factories == {"app.use:renamed"}


@pytest.mark.parametrize(
    "body",
    [
        "    e.__repr__()\n    e.__class__()\n",
        "    e = wrap(e)\n    e.nope()\n",
        "    for e in es:\n        e.nope()\n",
        "    with open('x') as e:\n        e.nope()\n",
        "    e.extra = lambda: 1\n    e.extra()\n",
        "    def inner():\n        nonlocal e\n        e = 1\n    inner()\n    e.nope()\n",
        "    x = Engine() if es else es\n    x.nope()\n",
        "    x, y = Engine(), es\n    x.nope()\n",
    ],
)
def test_what_is_not_known_for_sure_is_no_drift(
    body: str, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "from app.engine import Engine\n\n\ndef go(e: Engine, es, wrap):\n"
    root = plant(BASE | {"app/use.py": head + body})
    assert role(root, capsys)["drift"] == []
    (root / "app/use.py").write_text(head + "    e.nope()\n")
    assert [one["method"] for one in role(root, capsys)["drift"]] == ["nope"]


@pytest.mark.parametrize(
    "text",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING and True:\n    from app.old import OldEngine\n",
        "from typing import TYPE_CHECKING\nif not TYPE_CHECKING:\n    x = 1\nelse:\n    from app.old import OldEngine\n",
        "from typing import TYPE_CHECKING as TC\nif TC:\n    from app.old import OldEngine\n",
    ],
)
def test_what_only_type_checkers_read(
    text: str, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    (ref,) = [r for r in role(plant(TREE | {"app/use.py": text}), capsys)["refs"]
              if r["path"] == "app/use.py"]  # fmt: skip
    assert ref["type_checking"] is True


def test_names_by_a_star_and_lists_that_are_added(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(BASE | {
        "app/star.py": 'from app.engine import *\n__all__ = ["x"] + ["Engine"]\nx = 1\n',
        "app/held.py": "from app.engine import Engine\n\n\nclass Front:\n    inner: Engine\n\n"
        "    def run(self): return self.inner.run()\n    def stop(self): return self.inner.stop()\n",
        "app/soft.py": "try:\n    from app.engine import Engine as Soft\nexcept (ImportError, AttributeError):\n"
        "    from app.other import OldEngine as Soft\n",
        "app/other.py": OLD, "app/say.py": "def helper(): return 1\n",
        "app/lie.py": "from app.engine import Engine as helper\n",
    })  # fmt: skip
    found = role(root, capsys)
    members = {one["symbol"]: one for one in found["members"]}
    assert members["app.star:Engine"]["relation"] == "re_export"
    assert members["app.held:Front"]["relation"] == "adapter"
    assert members["app.soft:Soft"]["targets"] == ["app.engine:Engine"]
    assert members["app.lie:helper"]["lying"] is True


def test_lines_are_those_of_statements(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = plant(BASE | {"app/use.py": "from app.engine import Engine\n\nx = print(\n    Engine(),\n"
                                       '    "app.engine.Engine",\n)\n'})  # fmt: skip
    found = role(root, capsys)
    assert [one["line"] for one in found["constructions"]] == [3]
    assert [one["line"] for one in found["refs"] if one["kind"] == "string"] == [3]


@pytest.mark.parametrize(
    "sends",
    [
        'kind = "run.started"\n    bus.send(kind)\n',
        "bus.send(RUN_STARTED)\n",
        'f = lambda: bus.send("run.started")\n',
    ],
)
def test_ways_on_which_an_event_leaves(
    sends: str, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = BASE["ssot.toml"] + 'events = ["run.started", "run.ended"]\n'
    root = plant(BASE | {"ssot.toml": toml, "app/use.py": f"def go(bus):\n    {sends}",
                         "app/other.py": "def start(): started()\n"})  # fmt: skip
    (route,) = role(root, capsys)["routes"]
    assert (route["event"], route["owner"], route["sink"]) == (
        "run.started",
        "app.use:go",
        "bus.send",
    )


def test_a_string_allows_nothing(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = plant(BASE)
    assert main(["guard", "--write", "--root", str(root)]) == 0
    alias = "from app.engine import Engine as Local"
    (root / "app/a.py").write_text(f'{alias}; X = "# ssot: allow alias -- x"\n')
    (root / "app/b.py").write_text(f"{alias}  # ssot: allow alias -- x\n")
    capsys.readouterr()
    assert main(["guard", "--json", "--root", str(root)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [one["path"] for one in found["new"]] == ["app/a.py"] and found["allowed"] == 1


def test_refs_of_a_symbol_are_those_of_its_module_too(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(BASE | {"app/use.py": "import app.engine\nfrom app.engine import other\n"})
    assert main(["refs", "app.engine:Engine", "--json", "--root", str(root)]) == 0
    assert [one["line"] for one in json.loads(capsys.readouterr().out)["refs"]] == [1, 2]


def test_lists_of_names_are_found_wherever_they_are(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(TREE | {"tools/names.py": 'NAMES = ["Engine", "OldEngine", "Gone"]\n'})
    assert main(["explain", "2", "--json", "--root", str(root)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "classes of a name in NAMES (tools/names.py)" in {
        m["definition"] for m in found["matches"]
    }


def test_tests_in_blocks_and_inner_classes_are_tests(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(BASE | {"tests/test_x.py": "if True:\n    def test_a():\n        assert go()\n\n\n"
                         "class TestO:\n    class TestI:\n        def test_b(self):\n            assert go()\n"})  # fmt: skip
    assert main(["tests", "--json", "--root", str(root)]) == 0
    (one,) = json.loads(capsys.readouterr().out)["tests"]
    assert one["functions"] == 2 and one["trust"] == []


@pytest.mark.parametrize(
    "more", ['[liveness]\nroots = ["app.nowhere"]\n', '[tree]\nsource_roots = ["nowhere"]\n']
)
def test_a_configuration_that_names_what_is_not_there(
    more: str, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(BASE | {"ssot.toml": BASE["ssot.toml"] + more})
    assert main(["audit", "--root", str(root)]) == 2
    assert "nowhere" in capsys.readouterr().err
