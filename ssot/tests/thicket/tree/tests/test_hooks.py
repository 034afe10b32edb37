from unittest.mock import Mock

import pytest

from shop.money import format_amount, split_evenly


def test_hook_is_called():
    hook = Mock()
    hook.fire("r-1")
    hook.fire.assert_called_once_with("r-1")


def test_totals():
    rows = [3, 4]
    assert sum(rows) == 7


@pytest.mark.skip(reason="flaky on Mondays")
def test_split():
    assert split_evenly(10, 3) == [4, 3, 3]


@pytest.mark.skipif(True, reason="waits for the new currency table")
def test_pounds():
    assert format_amount(100, "GBP") == "£1.00"


@pytest.mark.xfail(reason="crowns come last")
def test_crowns():
    assert format_amount(100, "SEK") == "1.00 kr"


def test_split_in_two():
    pytest.skip("not decided")
    assert split_evenly(10, 2) == [5, 5]


def test_later():
    pass


def test_documented():
    """Hooks are documented."""


def test_split_rest():
    assert split_evenly(7, 2) == [4, 3]
