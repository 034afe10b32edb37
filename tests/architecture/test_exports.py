"""What the package exports is there, is documented, and nothing else is promised."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType

import pytest

import goldenpath
from goldenpath import client

NAMES = [(goldenpath, name) for name in goldenpath.__all__] + [
    (client, name) for name in client.__all__
]


@pytest.mark.parametrize(
    ("module", "name"), NAMES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_public_name_exists_and_says_what_it_is(module: ModuleType, name: str) -> None:
    found = getattr(module, name)
    if inspect.isclass(found) or inspect.isfunction(found):
        assert (inspect.getdoc(found) or "").strip(), name


@pytest.mark.parametrize("module", [goldenpath, client], ids=["goldenpath", "client"])
def test_the_public_names_are_in_order(module: ModuleType) -> None:
    assert list(module.__all__) == sorted(set(module.__all__))


@pytest.mark.parametrize(
    "name", [n for n in goldenpath.__all__ if inspect.isclass(getattr(goldenpath, n))]
)
def test_a_public_class_documents_its_public_methods(name: str) -> None:
    for method, function in inspect.getmembers(getattr(goldenpath, name), inspect.isfunction):
        if not method.startswith("_") and function.__module__.startswith("goldenpath"):
            assert inspect.getdoc(function), f"{name}.{method}"


def test_a_client_does_not_load_the_server() -> None:
    """`import goldenpath.client` is cheap: no engine, no store, no web framework."""
    code = (
        "import sys, goldenpath.client; "
        "print(*[m for m in sys.modules if m.split('.')[0] in ('starlette', 'uvicorn', 'apsw') "
        "or m.startswith(('goldenpath.engine', 'goldenpath.server'))])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == ""


def test_what_is_not_exported_is_an_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        goldenpath.nothing  # noqa: B018
