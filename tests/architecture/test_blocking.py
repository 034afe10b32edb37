"""The detector of blocking calls bites: on the package's code, on a loop, even when caught."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from blockbuster import BlockingError

import goldenpath
from tests.conftest import MAY_BLOCK, Blocked

_PACKAGE = Path(goldenpath.__file__).parent


def _planted(file: Path) -> None:
    """Sleeps, in a frame of that file."""
    exec(compile("time.sleep(0)", str(file), "exec"), {"time": time})


@pytest.mark.anyio
async def test_a_blocking_call_of_the_package_raises() -> None:
    with pytest.raises(BlockingError, match="time.sleep"):
        _planted(_PACKAGE / "engine" / "planted.py")
    Blocked.seen.clear()


@pytest.mark.anyio
async def test_one_that_a_boundary_swallows_is_remembered() -> None:
    with contextlib.suppress(Exception):
        _planted(_PACKAGE / "engine" / "planted.py")
    assert Blocked.seen == ["time.sleep"]
    Blocked.seen.clear()


@pytest.mark.anyio
async def test_a_test_may_block_by_itself() -> None:
    _planted(Path(__file__))


def test_without_a_loop_the_package_may_block() -> None:
    _planted(_PACKAGE / "engine" / "planted.py")


@pytest.mark.parametrize(
    ("file", "names"), [(f, n) for f, n in MAY_BLOCK if f.startswith("goldenpath/")]
)
def test_what_may_block_is_still_there(file: str, names: set[str]) -> None:
    text = (_PACKAGE.parent / file).read_text()
    for name in names:
        assert f"def {name}(" in text, f"{file}: {name}"
