from unittest.mock import Mock

import pytest

from app.ids import next_id, split_id
from app.sinks import sink_names


def test_hook_is_called():
    hook = Mock()
    hook.fire("turn-1")
    hook.fire.assert_called_once_with("turn-1")


def test_totals():
    rows = [3, 4]
    assert sum(rows) == 7


@pytest.mark.skip(reason="flaky at midnight")
def test_next():
    assert next_id("a").startswith("a-")


@pytest.mark.xfail(reason="numbers come first")
def test_order():
    assert split_id("1-turn") == (1, "turn")


def test_later():
    pass


def test_documented():
    """Hooks are documented."""


def test_names():
    assert sink_names("s", 2) == ["s0", "s1"]
