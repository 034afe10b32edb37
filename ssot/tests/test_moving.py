"""An import keeps the form that it had; every other byte stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from ssot.analysis import analyse
from ssot.change.edits import apply
from ssot.change.moving import Mover
from ssot.change.removing import remove_name
from ssot.errors import Refused

from tests.conftest import Plant

FILES = {
    "app/__init__.py": "",
    "app/engine.py": "class Engine:\n    pass\n",
    "app/old.py": "class Old:\n    pass\n\n\nLIMIT = 3\n",
}
CASES = {
    "plain": ("from app.old import Old\n\nOld()\n", "from app.engine import Engine\n\nEngine()\n"),
    "lazy": (
        "def go():\n    from app.old import Old\n    return Old()\n",
        "def go():\n    from app.engine import Engine\n    return Engine()\n",
    ),
    "in try": (
        "try:\n    from app.old import Old\nexcept ImportError:\n    Old = None\n",
        "try:\n    from app.engine import Engine as Old\nexcept ImportError:\n    Old = None\n",
    ),
    "as keeps its name": (
        "from app.old import Old as Runner  # why\n\nRunner()\n",
        "from app.engine import Engine as Runner  # why\n\nRunner()\n",
    ),
    "as the new name": (
        "from app.old import Old as Engine\n\nEngine()\n",
        "from app.engine import Engine\n\nEngine()\n",
    ),
    "relative": ("from .old import Old\n\nOld()\n", "from .engine import Engine\n\nEngine()\n"),
    "several on a line": (
        "from app.old import LIMIT, Old\n\nOld(LIMIT)\n",
        "from app.old import LIMIT\nfrom app.engine import Engine\n\nEngine(LIMIT)\n",
    ),
    "several lines": (
        "from app.old import (\n    LIMIT,  # a comment\n    Old,\n)\n\nOld(LIMIT)\n",
        "from app.old import (\n    LIMIT,  # a comment\n)\nfrom app.engine import Engine\n\nEngine(LIMIT)\n",
    ),
    "the module": (
        "import app.old\n\napp.old.Old()\n", "import app.engine\n\napp.engine.Engine()\n",
    ),
    "the module, also for others": (
        "import app.old\n\napp.old.Old(app.old.LIMIT)\n",
        "import app.old\nimport app.engine\n\napp.engine.Engine(app.old.LIMIT)\n",
    ),
    "the module from its package": (
        "from app import old\n\nold.Old()\n", "from app.engine import Engine\n\nEngine()\n",
    ),
    "there already": (
        "from app.engine import Engine\nfrom app.old import Old\n\nOld(), Engine()\n",
        "from app.engine import Engine\n\nEngine(), Engine()\n",
    ),
    "the name is taken": (
        "from app.old import Old\n\nEngine = 1\nOld()\n",
        "from app.engine import Engine as Old\n\nEngine = 1\nOld()\n",
    ),
    "annotations": (
        "from __future__ import annotations\nfrom app.old import Old\n\n\ndef f(x: 'list[Old]') -> Old: ...\n",
        "from __future__ import annotations\nfrom app.engine import Engine\n\n\n"
        "def f(x: 'list[Engine]') -> Engine: ...\n",
    ),
    "for types only": (
        "from typing import TYPE_CHECKING\nfrom app.engine import Engine\n\nif TYPE_CHECKING:\n"
        "    from app.old import Old\n\nx: Old | Engine\n",
        "from typing import TYPE_CHECKING\nfrom app.engine import Engine\n\n\nx: Engine | Engine\n",
    ),
    "__all__": (
        "from app.old import Old\n\n__all__ = ['Old', 'x']\n",
        "from app.engine import Engine\n\n__all__ = ['Engine', 'x']\n",
    ),
    "words beyond ASCII before it": (
        "näme = 'ü'; from app.old import Old; Old('€')\n",
        "näme = 'ü'; from app.engine import Engine; Engine('€')\n",
    ),
    "lines of Windows": (
        "from app.old import Old\r\n\r\nOld()\r\n", "from app.engine import Engine\r\n\r\nEngine()\r\n",
    ),
    "a mark of byte order": ("\ufefffrom app.old import Old\n", "\ufefffrom app.engine import Engine\n"),
    "a string that only looks like it": (
        "from app.old import Old\n\nprint('Old', Old)\n",
        "from app.engine import Engine\n\nprint('Old', Engine)\n",
    ),
    "an attribute of that name": (
        "from app.old import Old\n\nx.Old = Old\n", "from app.engine import Engine\n\nx.Old = Engine\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_form(plant: Plant, name: str) -> None:
    before, after = CASES[name]
    root = plant(FILES)
    (root / "app/use.py").write_bytes(before.encode())
    assert moved(root) == after.encode()


def moved(root: Path) -> bytes | None:
    analysis = analyse(root)
    module = analysis.project.by_path["app/use.py"]
    data = analysis.read("app/use.py")
    mover = Mover(analysis.project, module, data)
    return apply(data, mover.move(("app.old", "Old"), ("app.engine", "Engine")).edits)


REMOVED = {
    "a tuple keeps its comma": (
        "__all__ = ('Old', 'Kept')\n\n\nclass Old:\n    pass\n\n\nclass Kept:\n    pass\n",
        "__all__ = ('Kept',)\n\n\nclass Kept:\n    pass\n",
    ),
    "with its comment and decorator": (
        "import abc\nimport os\n\n\n# What it was.\n@abc.decorate\nclass Old:\n    pass\n\n\nKept = os\n",
        "import os\n\n\nKept = os\n",
    ),
    "one name of an import": (
        "from app.a import (\n    Kept,\n    Old,\n)\n",
        "from app.a import (\n    Kept,\n)\n",
    ),
    "an alias": ("Kept = 1\nOld = Kept\n", "Kept = 1\n"),
    "all that there was": ('"""Doc."""\n\nimport os\n\n\nclass Old(os.A):\n    pass\n', None),
}


@pytest.mark.parametrize("name", REMOVED)
def test_a_definition_is_removed(plant: Plant, name: str) -> None:
    before, after = REMOVED[name]
    root = plant({"app/__init__.py": "", "app/old.py": before})
    analysis = analyse(root)
    module = analysis.project.by_path["app/old.py"]
    edits = remove_name(module, before.encode(), "Old", ())
    assert apply(before.encode(), edits) == (None if after is None else after.encode())


@pytest.mark.parametrize(
    "text",
    [
        "from app import old\n\nEngine = 1\nold.Old()\n",
        "from app.old import Old, Old as Other\n",
    ],
)
def test_what_cannot_be_done_safely_is_refused(plant: Plant, text: str) -> None:
    root = plant(FILES | {"app/use.py": text})
    with pytest.raises((Refused, ValueError)):
        moved(root)
